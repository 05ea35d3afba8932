//! The `sparekey` binary: hands over to the command line.

/// What requests allocate is small and short-lived, on whichever thread comes next: measured in docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    sparekey::cli::main()
}

//! The `sparekey` binary: hands over to the command line.

fn main() -> std::process::ExitCode {
    sparekey::cli::main()
}

//! Compiles the mounted face's `.proto` files into Rust.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = "plugin-manifest/proto";
    println!("cargo::rerun-if-changed={folder}");
    let files = ["backend.proto", "plugin.proto", "health.proto", "multiplexing.proto", "version.proto"];
    let descriptors = protox::compile(files, [folder])?;
    tonic_prost_build::configure()
        // These carry codes, assertions and keys: they are printed by hand, without what they hold (src/plugin/proto.rs).
        .skip_debug([".pb.Request", ".pb.Response", ".pb.Secret", ".pb.Auth", ".pb.StorageEntry"])
        .compile_fds(descriptors)?;
    Ok(())
}

//! HAProxy, installed or unpacked from Debian's packages.

use std::process::Command;

use super::debian;

/// A command that runs it.
pub fn command() -> Command {
    let packages = ["haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"];
    let root = debian::root("haproxy", &packages, &["usr/sbin/haproxy"]);
    let mut command = Command::new(root.join("usr/sbin/haproxy"));
    command.env("LD_LIBRARY_PATH", root.join("usr/lib").join(debian::triple()));
    command
}

//! Describes where a measurement was taken.

use std::process::Command;

use crate::harness::Client;

/// The load of the machine, including other work: results on a busy machine are worse.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg")
        .unwrap_or_else(|_| said_by("sysctl", &["-n", "vm.loadavg"]).trim_start_matches("{ ").to_owned());
    text.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned()
}

/// The server's name and version.
pub fn server_name(client: &mut Client) -> String {
    // Valkey also reports the Redis version with which it is compatible.
    match client.info("server", "valkey_version").as_str() {
        "" => format!("Redis {}", client.info("server", "redis_version")),
        version => format!("Valkey {version}"),
    }
}

/// A short description of the machine.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores, {}", cpu(), kernel())
}

/// The system and the version of its kernel, such as `Linux 6.18`, without what its build adds.
fn kernel() -> String {
    said_by("uname", &["-sr"]).split('.').take(2).collect::<Vec<_>>().join(".")
}

fn cpu() -> String {
    let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") else {
        return said_by("sysctl", &["-n", "machdep.cpu.brand_string"]);
    };
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or("unknown CPU", |(_, name)| name).to_owned()
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

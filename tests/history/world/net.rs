//! A network of its own for each server, so that the links between two of them can be cut without either of them noticing at
//! once: network namespaces on a bridge. It needs root.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A network with a host for each server. Clients are outside, and reach all of them.
pub struct Net {
    /// What the names of its parts begin with.
    name: String,
    subnet: u8,
    hosts: usize,
}

/// No host has this hardware address. What is sent to it is lost.
const NOBODY: &str = "02:00:00:00:00:ff";

impl Net {
    /// Makes the network. The error says why it cannot be made.
    pub fn build(hosts: usize) -> Result<Self, String> {
        remove_old();
        let process = std::process::id();
        let mut failure = String::new();
        // Another network may use the same addresses.
        for attempt in 0..20 {
            let subnet = u8::try_from((u64::from(process) + attempt * 7) % 250).expect("a small number");
            let net = Self { name: format!("inv{process}"), subnet, hosts };
            match net.set_up() {
                Ok(()) => return Ok(net),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn set_up(&self) -> Result<(), String> {
        let bridge = format!("{}b", self.name);
        if ip("route show")?.contains(&format!("10.213.{}.", self.subnet)) {
            return Err(format!("10.213.{}.0 is in use", self.subnet));
        }
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("addr add {}/24 dev {bridge}", self.address(0)))?;
        ip(&format!("link set {bridge} up"))?;
        for host in 1..=self.hosts {
            let (space, outside) = (self.space(host), format!("{}v{host}", self.name));
            ip(&format!("netns add {space}"))?;
            ip(&format!(
                "link add {outside} type veth peer name eth0 address {} netns {space}",
                hardware(host)
            ))?;
            ip(&format!("link set {outside} master {bridge} up"))?;
            ip(&format!("-n {space} addr add {}/24 dev eth0", self.address(host)))?;
            ip(&format!("-n {space} link set eth0 up"))?;
            ip(&format!("-n {space} link set lo up"))?;
        }
        Ok(())
    }

    /// The address of a host, counted from 1. 0 is where the clients are.
    pub fn address(&self, host: usize) -> String {
        format!("10.213.{}.{}", self.subnet, host + 1)
    }

    fn space(&self, host: usize) -> String {
        format!("{}n{host}", self.name)
    }

    /// Loses everything that these two send each other.
    pub fn cut(&self, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            let (space, address) = (self.space(from), self.address(to));
            let told =
                ip(&format!("-n {space} neigh replace {address} lladdr {NOBODY} dev eth0 nud permanent"));
            told.unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Ends all cuts.
    pub fn heal(&self) {
        for from in 1..=self.hosts {
            for to in (1..=self.hosts).filter(|to| *to != from) {
                let (space, address) = (self.space(from), self.address(to));
                let own = hardware(to);
                let told =
                    ip(&format!("-n {space} neigh replace {address} lladdr {own} dev eth0 nud permanent"));
                told.unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    /// The command with which a program runs on this host.
    pub fn command(&self, host: usize) -> String {
        format!("ip netns exec {}", self.space(host))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        remove(&self.name, self.hosts);
    }
}

fn hardware(host: usize) -> String {
    format!("02:00:00:00:01:{host:02x}")
}

fn remove(name: &str, hosts: usize) {
    for host in 1..=hosts {
        // The other end of its link is removed with it.
        let _ = ip(&format!("netns del {name}n{host}"));
        let _ = ip(&format!("link del {name}v{host}"));
    }
    let _ = ip(&format!("link del {name}b"));
}

/// Removes what a run that was killed has left.
fn remove_old() {
    let Ok(links) = ip("-o link show type bridge") else { return };
    for line in links.lines() {
        let Some(name) = line.split(": ").nth(1).and_then(|name| name.strip_suffix('b')) else { continue };
        let Some(process) = name.strip_prefix("inv").and_then(|process| process.parse::<u32>().ok()) else {
            continue;
        };
        if !Path::new(&format!("/proc/{process}")).exists() {
            remove(name, 9);
        }
    }
}

fn ip(words: &str) -> Result<String, String> {
    let done = Command::new("ip").args(words.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(format!("ip {words}: {}", String::from_utf8_lossy(&done.stderr).trim()))
    }
}

/// Writes a program that runs another one in a certain way.
pub fn wrapper(folder: &Path, name: &str, before: &str, program: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    let script = format!("#!/bin/sh\nexec {before} {} \"$@\"\n", program.display());
    std::fs::write(&path, script).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a script");
    path
}

//! `make cluster` and `make cluster-stop`: a cluster to play with, and nothing left of it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::harness::{module, server_program};

/// The ports that it takes: six nodes, and where they call each other.
const PORTS: u16 = 12;

/// Dropping it ends what runs.
struct Playground {
    port: u16,
    data: TempDir,
}

impl Playground {
    fn new() -> Self {
        let are_free = |first: &u16| {
            (0..PORTS)
                .map(|number| TcpListener::bind(("127.0.0.1", first + number)))
                .all(|bound| bound.is_ok())
        };
        // Beside those that the other tests take.
        let spread = 17_000 + (std::process::id() % 200) as u16 * PORTS;
        let port = (spread..19_900).step_by(PORTS.into()).find(are_free).expect("free ports");
        Self { port, data: TempDir::new().expect("a temporary folder") }
    }

    /// What is said by `make TARGET`, and whether it went well.
    fn make(&self, target: &str) -> (bool, String) {
        let done = Command::new("make")
            .arg("-C")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(["--no-print-directory", target])
            .env("CLUSTER_PORT", self.port.to_string())
            .env("CLUSTER_DATA", self.data.path())
            .env("INV_MODULE", module())
            .env("SERVER", server_program())
            .stdin(Stdio::null())
            .output()
            .expect("make runs");
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    #[track_caller]
    fn made(&self, target: &str) -> String {
        let (well, said) = self.make(target);
        assert!(well, "make {target}: {said}");
        said
    }

    fn ask(&self, node: u16, command: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(("127.0.0.1", self.port + node))?;
        let mut words = redis::Cmd::new();
        command.iter().for_each(|word| {
            words.arg(word);
        });
        words.query(&mut client.get_connection()?)
    }

    /// The processes that its files name, of those that run.
    fn processes(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.data.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if entry.file_name() == "pid" {
                    let pid = std::fs::read_to_string(path).expect("a number").trim().to_owned();
                    found.extend(Path::new(&format!("/proc/{pid}")).exists().then_some(pid));
                }
            }
        }
        found
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        self.make("cluster-stop");
    }
}

#[test]
fn make_cluster_starts_six_nodes_and_make_cluster_stop_ends_just_those() {
    let playground = Playground::new();
    let said = playground.made("cluster");
    assert!(said.contains("INV.RESERVE"), "{said}");
    assert_eq!(playground.processes().len(), 6);
    // Whichever node is asked, one has the product, and the others send there.
    let has = (0..3).find(|node| playground.ask(*node, &["INV.ADJUST", "PROD-123", "10"]).is_ok());
    let has = has.expect("a master of PROD-123");
    assert!(said.contains(&format!("{}  master of PROD-123", playground.port + has)), "{said}");

    // It runs already; a killed node is started again.
    assert_eq!(playground.made("cluster").matches("runs already").count(), 1);
    let victim = playground.processes().pop().unwrap();
    assert!(Command::new("kill").args(["-9", &victim]).status().unwrap().success());
    playground.made("cluster");
    assert_eq!(playground.processes().len(), 6);

    playground.made("cluster-stop");
    assert_eq!(playground.processes(), Vec::<String>::new());
    // The data stay.
    playground.made("cluster");
    let again = (0..6).filter_map(|node| playground.ask(node, &["GET", "stock:available:{PROD-123}"]).ok());
    assert_eq!(again.collect::<Vec<_>>(), [redis::Value::BulkString(b"10".to_vec())]);
    playground.made("cluster-stop");
    assert!(playground.made("cluster-stop").contains("nothing runs"));
}

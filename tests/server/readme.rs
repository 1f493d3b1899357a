//! The documents are run: the transcripts of each, from top to bottom on a server of its own, as a person would type them; the
//! Python of the README; the table of docs/configuration.md against what the server says. The shell of docs/operations.md is in
//! operations.rs. What docs/clients.md shows is compared with the programs that `make test-clients` runs. Links are in links.rs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use redis::Value;

use crate::cluster_clients::redis_py;
use crate::harness::{Json, SOON, Server, module, server_program, wait_until};
use crate::links::documents;
use crate::scripts::{LUA_COMMIT, LUA_RESERVE, LUA_ROLLBACK};
use crate::shards::Cluster;

pub const README: &str = include_str!("../../README.md");

/// Their transcripts begin on another server than a single one that is empty and has the module.
const ON_SERVERS_OF_THEIR_OWN: [&str; 3] =
    ["docs/cluster.md", "docs/migrating-from-lua.md", "docs/operations.md"];

#[test]
fn the_transcripts_show_what_the_server_answers() {
    let mut typed = 0;
    for (name, document) in documents() {
        if document.contains("```redis\n") && !ON_SERVERS_OF_THEIR_OWN.contains(&name.as_str()) {
            println!("{name}");
            typed += run(&document, "127.0.0.1:6379> ", Server::start().port());
        }
    }
    assert!(typed > 50, "only {typed} commands were found");
}

#[test]
fn the_python_of_the_readme_sells_and_gives_back() {
    let server = Server::start();
    server.connect().ask("SET stock:available:SHOE 4");
    let function = README.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let program = format!(
        "import redis, sys\nfrom redis_inventory import Insufficient, Inventory\n{function}\n\
         client = redis.Redis(port=int(sys.argv[1]))\n\
         shop = Inventory(client)\n\
         assert checkout(shop, 'A', lambda order: True) == 'sold'\n\
         assert checkout(shop, 'B', lambda order: False) == 'returned'\n\
         assert client.mget('stock:available:SHOE', 'stock:reserved:SHOE') == [b'2', b'0']\n\
         client.set('stock:available:SHOE', 1)\n\
         assert checkout(shop, 'C', lambda order: True) == 'only 1 left'\n"
    );
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/src");
    let done = Command::new("python3")
        .args(["-c", &program, &server.port().to_string()])
        .env("PYTHONPATH", format!("{}:{}", package.display(), Path::new(redis_py()).display()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A command that is typed appears as a whole when its last key is echoed. `scripts/record.sh` makes the recording again.
#[test]
fn the_recording_shows_the_commands_of_the_first_minute() {
    let section =
        README.split("## The first minute\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let (mut shown, cast) = (String::new(), include_str!("../../docs/first-minute.cast"));
    for line in cast.lines().skip(1) {
        shown += serde_json::from_str::<Json>(line).unwrap()[2].as_str().unwrap();
    }
    let commands: Vec<&str> =
        section.lines().filter_map(|line| line.strip_prefix("127.0.0.1:6379> ")).collect();
    assert!(commands.len() > 8, "{commands:?}");
    for command in commands {
        assert!(shown.contains(&format!("127.0.0.1:6379> {command}")), "{command} is not in the recording");
    }
}

#[test]
fn the_transcripts_of_a_cluster_show_what_a_node_answers() {
    let cluster = Cluster::start(1);
    let typed = run(include_str!("../../docs/cluster.md"), "127.0.0.1:7001> ", cluster.masters[0].port());
    assert!(typed > 5, "only {typed} commands were found");
}

#[test]
fn the_transcripts_of_the_move_from_scripts_show_what_the_server_answers() {
    let document = include_str!("../../docs/migrating-from-lua.md");
    let server = Server::start_without_module(server_program(), &["enable-module-command yes"]);
    for script in [LUA_RESERVE, LUA_COMMIT, LUA_ROLLBACK] {
        let number = server.connect().ask(["SCRIPT", "LOAD", script]);
        assert!(
            document.contains(number.as_str().unwrap()),
            "the document calls another text than\n{script}"
        );
    }
    let here = module().display().to_string();
    let document = document.replace("/usr/lib/redis-inventory/libredis_inventory.so", &here);
    let typed = run(&document, "127.0.0.1:6379> ", server.port());
    assert!(typed > 30, "only {typed} commands were found");
}

#[test]
fn the_transcripts_of_operations_show_what_the_server_answers() {
    let server = Server::start_with(&["appendonly yes"]);
    let typed = run(include_str!("../../docs/operations.md"), "127.0.0.1:6379> ", server.port());
    assert!(typed > 5, "only {typed} commands were found");
}

/// Types what a document shows after this prompt, and compares the answers. Returns the number of commands. If the text before
/// a transcript ends with `3 seconds later:`, it waits for that time.
pub fn run(document: &str, prompt: &str, port: u16) -> usize {
    let client = redis::Client::open(("127.0.0.1", port)).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut typed = 0;
    let mut blocks = document.split("```redis\n");
    let mut text = blocks.next().unwrap();
    for block in blocks {
        if let Some(before) = text.trim_end().strip_suffix(" seconds later:") {
            let seconds = before.rsplit(char::is_whitespace).next().and_then(|word| word.parse().ok());
            // A moment longer: units are given back ten times a second.
            thread::sleep(Duration::from_secs(seconds.unwrap()) + Duration::from_millis(300));
        }
        let (block, behind) = block.split_once("```").unwrap();
        text = behind;
        for exchange in block.split(prompt).skip(1) {
            let (line, shown) = exchange.split_once('\n').unwrap_or((exchange, ""));
            let mut command = redis::Cmd::new();
            words(line).into_iter().for_each(|word| {
                command.arg(word);
            });
            let mut answered = String::new();
            // Where the module was loaded a moment ago, a person would try it again.
            wait_until(line, SOON, || {
                connection.send_packed_command(&command.get_packed_command()).unwrap();
                answered.clear();
                render(&connection.recv_response().unwrap(), "", &mut answered);
                !answered.starts_with("(error) TRYAGAIN")
            });
            assert_eq!(timeless(answered.trim_end()), timeless(shown.trim_end()), "{line}");
            typed += 1;
        }
    }
    typed
}

#[test]
fn the_table_of_configurations_is_what_the_server_has() {
    let table = include_str!("../../docs/configuration.md");
    let server = Server::start();
    let mut client = server.connect();
    let documented: Vec<(String, String)> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `inv."))
        .map(|row| {
            let mut cells = row.split('|').map(str::trim);
            let name = cells.next().unwrap().trim_end_matches('`');
            (format!("inv.{name}"), cells.next().unwrap().to_owned())
        })
        .collect();
    let configured = client.ask("CONFIG GET inv.*");
    let configured = configured.as_object().unwrap();
    assert_eq!(documented.len(), configured.len(), "{configured:?}");
    for (name, default) in &documented {
        assert_eq!(configured[name], *default, "{name}");
        assert!(include_str!("../../redis.conf").contains(&format!("# {name} {default}\n")), "{name}");
    }
    for row in table.lines().filter(|line| line.starts_with("| `inv.")) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let Some((least, most)) = cells[3].split_once(" to ") else { continue };
        for (value, fits) in [(least, true), (most, true)] {
            assert_eq!(client.try_ask(["CONFIG", "SET", cells[1], value]).is_ok(), fits, "{row}");
        }
        let beyond = [least.parse::<i64>().unwrap() - 1, most.parse::<i64>().unwrap() + 1];
        for value in beyond {
            let error = client.refusal(["CONFIG", "SET", cells[1], &value.to_string()]);
            assert!(error.contains("between"), "{row}: {error}");
        }
    }
}

const CLIENTS: &str = include_str!("../../docs/clients.md");

#[test]
fn what_is_shown_of_the_clients_is_in_their_programs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut shown = BTreeSet::new();
    // Every second piece is a block: its language, the program, and the lines.
    for block in CLIENTS.split("\n```").skip(1).step_by(2) {
        let (head, lines) = block.split_once('\n').unwrap();
        let (_, program) =
            head.split_once(' ').unwrap_or_else(|| panic!("of which program is this? {block}"));
        let source = std::fs::read_to_string(root.join(program)).unwrap();
        assert!(source.contains(&format!("\n{lines}\n")), "{program} has no such lines:\n{lines}");
        assert!(CLIENTS.contains(&format!("(../{program})")), "{program} is not linked");
        shown.insert(program.to_owned());
    }
    let programs = std::fs::read_dir(root.join("examples/clients")).unwrap().map(Result::unwrap);
    let programs = programs.filter(|entry| entry.file_type().unwrap().is_file());
    let names = programs.map(|entry| entry.file_name().into_string().unwrap());
    let names = names.filter(|name| !name.ends_with(".json")).map(|name| format!("examples/clients/{name}"));
    assert_eq!(shown, names.collect());
}

#[test]
fn the_clients_are_fetched_in_the_versions_that_are_documented() {
    let requirements = include_str!("../../clients/python/tests/requirements.txt");
    let npm = include_str!("../../examples/clients/package.json");
    let package = include_str!("../../clients/typescript/package.json");
    let (_, package) = package.split_once("devDependencies").unwrap();
    for (library, place, before) in [
        ("redis-py", include_str!("../../scripts/setup-redis-py.sh"), "redis=="),
        ("redis-py 7.0.1 and", requirements, "redis=="),
        ("valkey-py", requirements, "valkey=="),
        ("valkey-glide", requirements, "valkey-glide=="),
        ("node-redis", npm, "\"redis\": \""),
        ("ioredis", npm, "\"ioredis\": \""),
        ("GLIDE", npm, "\"@valkey/valkey-glide\": \""),
        ("node-redis", package, "\"redis\": \""),
        ("ioredis", package, "\"ioredis\": \""),
        ("GLIDE", package, "\"@valkey/valkey-glide\": \""),
        ("hiredis", include_str!("../../scripts/setup-hiredis.sh"), "version="),
        ("redis-rs", include_str!("../../Cargo.lock"), "name = \"redis\"\nversion = \""),
    ] {
        let (_, row) = CLIENTS.split_once(&format!("| {library} ")).unwrap();
        let version = row.split([' ', ',']).next().unwrap();
        let (_, fetched) = place.split_once(before).unwrap();
        let rest =
            fetched.strip_prefix(version).unwrap_or_else(|| panic!("{library} {version} is documented"));
        assert!(rest.starts_with(['\n', '"']), "{library} {version} is documented");
    }
}

/// A line as redis-cli splits it: blanks, and quotes around words that have some.
fn words(line: &str) -> Vec<String> {
    let quoted = |(index, part): (usize, &str)| match index % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
        _ => vec![part.to_owned()],
    };
    line.split('"').enumerate().flat_map(quoted).collect()
}

/// Times, ids of stream entries and generated ids are others each time.
fn timeless(text: &str) -> String {
    let word = |word: &str| {
        let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
        let is_time = word.len() == 13 && is_number(word);
        let is_entry = word
            .split_once('-')
            .is_some_and(|(at, count)| at.len() == 13 && is_number(at) && is_number(count));
        let is_uuid = word.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
        if is_time {
            "<ms>".to_owned()
        } else if is_uuid {
            "<uuid>".to_owned()
        } else if is_entry {
            "<entry>".to_owned()
        } else {
            word.to_owned()
        }
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let (before, behind) = rest.split_at(at);
        let stop = behind.chars().next().unwrap();
        out += &word(before.strip_prefix("order-").unwrap_or(before));
        out.push(stop);
        rest = &behind[stop.len_utf8()..];
    }
    out + &word(rest)
}

/// A reply as redis-cli shows it on a terminal.
fn render(value: &Value, indent: &str, out: &mut String) {
    match value {
        Value::Nil => *out += "(nil)\n",
        Value::Okay => *out += "OK\n",
        Value::SimpleString(text) => *out += &format!("{text}\n"),
        Value::Int(number) => *out += &format!("(integer) {number}\n"),
        Value::BulkString(bytes) => {
            let text = String::from_utf8_lossy(bytes).replace('\\', "\\\\").replace('"', "\\\"");
            *out += &format!("\"{text}\"\n");
        }
        Value::ServerError(error) => {
            *out += &format!("(error) {} {}\n", error.code(), error.details().unwrap_or_default());
        }
        Value::Array(items) if items.is_empty() => *out += "(empty array)\n",
        Value::Array(items) => {
            let width = items.len().to_string().len();
            let deeper = format!("{indent}{}", " ".repeat(width + 2));
            for (index, item) in items.iter().enumerate() {
                let lead = if index == 0 { "" } else { indent };
                *out += &format!("{lead}{:>width$}) ", index + 1);
                render(item, &deeper, out);
            }
        }
        other => panic!("no reply of RESP2: {other:?}"),
    }
}

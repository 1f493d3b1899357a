//! docs/inv.md does what it shows.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Server, root};
use crate::{INV, url};

/// Times, rates and ids differ from run to run.
fn timeless(text: &str) -> String {
    let mut words: Vec<String> = text.split_inclusive([' ', '\n']).map(str::to_owned).collect();
    for at in 0..words.len() {
        let follows =
            |before: [&str; 2]| at >= 2 && before == [words[at - 2].trim_end(), words[at - 1].trim_end()];
        let is_rate =
            words[at].starts_with('(') && words.get(at + 2).is_some_and(|word| word.starts_with("second)"));
        if is_rate || [["imported", "in"], ["import", "id:"], ["with", "--id"]].into_iter().any(follows) {
            let end = words[at].trim_start_matches(|letter: char| !letter.is_whitespace());
            words[at] = format!("…{end}");
        }
    }
    words.concat()
}

#[test]
fn the_page_shows_what_the_command_prints() {
    let page = fs::read_to_string(root().join("docs/inv.md")).expect("the page");
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let mut commands = 0;
    for block in page.split("\n```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').expect("a block");
        match kind.split_once(' ') {
            Some(("csv", name)) => fs::write(folder.path().join(name), format!("{text}\n")).expect("a file"),
            _ if kind == "console" => commands += run(text, &server, folder.path()),
            _ => {}
        }
    }
    assert!(commands >= 7, "only {commands} commands were found");
}

/// Types the commands of a block and compares what they print.
fn run(block: &str, server: &Server, folder: &Path) -> usize {
    let bin = Path::new(INV).parent().expect("a folder").display();
    let block = format!("\n{block}\n");
    let entries: Vec<&str> = block.split("\n$ ").skip(1).collect();
    for entry in &entries {
        let (line, shown) = entry.split_once('\n').unwrap_or((entry, ""));
        let done = Command::new("bash")
            .args(["-c", &format!("PATH={bin}:$PATH; export LC_ALL=C; {line}")])
            .current_dir(folder)
            .env("INV_URL", url(server))
            .output()
            .expect("bash");
        assert_eq!(String::from_utf8_lossy(&done.stderr), "", "{line}");
        let printed = String::from_utf8(done.stdout).expect("UTF-8");
        assert_eq!(timeless(printed.trim_end()), timeless(shown.trim_end()), "{line}");
    }
    entries.len()
}

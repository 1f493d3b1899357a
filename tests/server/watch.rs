//! `make watch` in a real terminal, tmux, on a real server. tests/watch/ tests its state and drawing without either.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{Client, LATER, Server, wait_until};
use crate::shards::Cluster;

/// The folder of the build.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    // target/debug/deps/server-...
    test.ancestors().nth(3).expect("a target folder").to_owned()
}

/// The program. The scripts build it before the tests and pass its path; with plain cargo, the tests build it.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| std::env::var_os("INV_WATCH").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let target = target();
    let built = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cargo.sh"))
        .args(["build", "--example", "watch", "--target-dir"])
        .arg(&target)
        .output()
        .expect("a shell");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("debug/examples/watch")
}

fn tmux() -> &'static OsStr {
    static FOUND: OnceLock<OsString> = OnceLock::new();
    FOUND.get_or_init(|| {
        std::env::var_os("INV_TMUX").unwrap_or_else(|| {
            let find = "exports=$(scripts/setup-tmux.sh) && eval \"$exports\" && printf %s \"$INV_TMUX\"";
            let found = Command::new("bash")
                .args(["-c", find])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .stderr(Stdio::inherit())
                .output()
                .expect("bash");
            assert!(found.status.success(), "tmux was not found, and the test needs it");
            String::from_utf8(found.stdout).expect("a path").into()
        })
    })
}

/// A terminal that runs the program. Dropping it ends both.
pub struct Terminal {
    folder: TempDir,
}

/// On a busy machine, readings take long and are rare.
const PATIENCE: Duration = Duration::from_secs(90);

/// The shell's message after the program has ended, followed by the exit code.
const ENDED: &str = "it has ended with";

impl Terminal {
    fn open(server: &Server, width: u16, height: u16) -> Self {
        let url = format!("redis://127.0.0.1:{}", server.port());
        Self::run(width, height, &[("INV_URL", &url), ("LC_ALL", "C.UTF-8")], "")
    }

    /// Runs it between two shell commands, the second of which shows the terminal's settings.
    fn run(width: u16, height: u16, variables: &[(&str, &str)], arguments: &str) -> Self {
        let program = program().display();
        let line = format!(
            "echo before; '{program}' {arguments}; echo {ENDED} $?; stty -a | grep -ow -e '-*icanon' -e '-*echo'; read -r _"
        );
        Self::start(width, height, variables, &line)
    }

    pub fn start(width: u16, height: u16, variables: &[(&str, &str)], line: &str) -> Self {
        let terminal = Self { folder: TempDir::new().expect("a temporary folder") };
        let mut command = terminal.command();
        command.args(["-u", "new-session", "-d", "-x", &width.to_string(), "-y", &height.to_string()]);
        command.args(["env", "-u", "NO_COLOR"]);
        command.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
        Self::done(command.args(["sh", "-c", line]));
        terminal
    }

    fn command(&self) -> Command {
        let mut command = Command::new(tmux());
        command.arg("-S").arg(self.folder.path().join("socket")).args(["-f", "/dev/null"]);
        command.env_remove("TMUX").stdin(Stdio::null());
        command
    }

    fn done(command: &mut Command) -> String {
        let output = command.output().expect("tmux");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn ask(&self, words: &[&str]) -> String {
        Self::done(self.command().args(words))
    }

    pub fn press(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    fn resize(&self, width: u16, height: u16) {
        self.ask(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    /// Waits until the screen is right.
    pub fn wait(&self, what: &str, is_right: impl Fn(&str) -> bool) {
        wait_until(what, PATIENCE, || is_right(&self.screen()));
    }

    pub fn wait_for(&self, text: &str) {
        self.wait(text, |screen| screen.contains(text));
    }

    /// The line that contains this text.
    pub fn line(&self, text: &str) -> String {
        self.wait_for(text);
        let screen = self.screen();
        screen.lines().find(|line| line.contains(text)).unwrap_or_default().to_owned()
    }

    /// Asserts that the program has ended with this code, and that the terminal is restored.
    fn assert_ended(&self, code: i32) {
        self.wait_for(&format!("{ENDED} {code}"));
        self.wait("the screen and settings are restored", |screen| {
            let lines: BTreeSet<&str> = screen.lines().collect();
            lines.is_superset(&BTreeSet::from(["before", "icanon", "echo"]))
        });
        let modes = self.ask(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(modes.trim(), "0 1", "the main screen, and a cursor");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if thread::panicking() {
            let screen = self.command().args(["capture-pane", "-p"]).output();
            let screen = screen.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            eprintln!("--- the terminal ---\n{}---", screen.unwrap_or_default());
        }
        // tmux ends by itself when its only program ends.
        let _ = self.command().arg("kill-server").output();
    }
}

/// The seconds that a reservation has left.
fn seconds(line: &str) -> i64 {
    let words: Vec<&str> = line.split_whitespace().collect();
    let unit = words.iter().position(|word| *word == "s").unwrap_or_else(|| panic!("no seconds: {line}"));
    words[unit - 1].parse().unwrap_or_else(|_| panic!("no seconds: {line}"))
}

#[test]
fn an_operator_watches_a_shop_through_a_restart() {
    let mut server = Server::start_with(&["appendonly yes", "inv.feed-maxlen 1000"]);
    let mut shop = server.connect();
    shop.ask("INV.SET SHOE AVAILABLE 100");
    shop.ask(["INV.RESERVE", "R1", "EX", "500", "DATA", "cart 77", "ITEMS", "SHOE", "40"]);
    let terminal = Terminal::open(&server, 80, 24);

    let row = terminal.line(" SHOE  ");
    assert!(row.contains("██▒") && row.split_whitespace().rev().take(2).eq(["40", "60"]), "{row}");
    let first = terminal.line(" R1 ");
    assert!(first.contains("SHOE 40  cart 77") && (400..=500).contains(&seconds(&first)), "{first}");
    terminal.wait("the seconds go by", |screen| {
        screen.lines().any(|line| line.contains(" R1 ") && seconds(line) < seconds(&first))
    });
    terminal.wait_for("1 held");

    // An alert and rates.
    shop.ask("INV.RESERVE R2 EX 800 ITEMS SHOE 55");
    terminal.wait_for("ago LOW_STOCK     SHOE    5 (threshold 10)");
    terminal.wait("the stock is low", |screen| {
        screen.lines().any(|line| line.contains(" SHOE ") && line.ends_with("5       95 LOW"))
    });
    terminal.wait("a rate", |screen| {
        screen.lines().any(|line| line.contains("reserved 0.") && !line.contains("reserved 0/s"))
    });
    shop.ask("INV.COMMIT R2");
    terminal.wait("R2 is sold", |screen| !screen.contains(" R2 "));

    // A product that only the feed names.
    shop.ask("INV.ADJUST LACE 7");
    terminal.wait("a product of the feed", |screen| {
        screen.lines().any(|line| line.contains(" LACE ") && line.ends_with("7        0 LOW"))
    });

    // Keys.
    terminal.press(&["?"]);
    terminal.wait_for("press any key");
    terminal.press(&["x"]);
    terminal.press(&["End"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("2 Reservations of LACE: 0");
    terminal.press(&["Home"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("2 Reservations of SHOE: 1");
    terminal.press(&["Escape"]);
    terminal.wait_for("2 Reservations: 1, next deadline first");

    // Other sizes.
    terminal.resize(40, 10);
    terminal.wait("one list", |screen| screen.contains("1 Products") && !screen.contains("2 Reservations"));
    assert!(terminal.screen().lines().all(|line| line.chars().count() <= 40), "{}", terminal.screen());
    terminal.press(&["2"]);
    terminal.wait("the other list", |screen| screen.contains(" R1 ") && !screen.contains("1 Products"));
    terminal.resize(6, 2);
    terminal.wait("next to nothing", |screen| screen.lines().all(|line| line.chars().count() <= 6));
    terminal.resize(160, 40);
    terminal.wait("side by side", |screen| {
        screen.lines().any(|line| line.contains("1 Products") && line.contains("2 Reservations"))
    });

    // The server ends and returns.
    server.shut_down();
    terminal.wait_for("not connected for");
    terminal.wait_for(" R1 ");
    server.start_again();
    terminal.wait("it is connected again", |screen| !screen.contains("not connected"));
    server.connect().ask("INV.RESERVE R3 EX 900 ITEMS SHOE 1");
    terminal.wait_for(" R3 ");

    terminal.press(&["q"]);
    terminal.assert_ended(0);
}

#[test]
fn it_ends_by_signals_and_with_its_terminal_even_if_the_server_does_not_answer() {
    let server = Server::start();
    let terminal = Terminal::open(&server, 80, 24);
    terminal.wait_for("None is live.");
    server.freeze();
    terminal.wait_for("waiting for an answer for");
    terminal.press(&["C-c"]);
    terminal.assert_ended(0);
    drop(terminal);
    server.thaw();

    // exec replaces the shell, so that the process id is known.
    let start = || {
        let line = format!("exec '{}' redis://127.0.0.1:{}", program().display(), server.port());
        let terminal = Terminal::start(80, 24, &[("LC_ALL", "C.UTF-8")], &line);
        terminal.wait_for("None is live.");
        let pid: u32 = terminal.ask(&["display-message", "-p", "#{pane_pid}"]).trim().parse().expect("a pid");
        (terminal, pid)
    };
    let (terminal, pid) = start();
    let status = Command::new("kill").arg(pid.to_string()).status().expect("kill");
    assert!(status.success());
    wait_until("it ends by a signal", LATER, || has_ended(pid));
    drop(terminal);
    let (terminal, pid) = start();
    drop(terminal);
    wait_until("it ends with its terminal", LATER, || has_ended(pid));
}

/// Whether a process has ended, even if its parent has not reaped it yet.
fn has_ended(pid: u32) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
    match state {
        Ok(output) => {
            let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            state.is_empty() || state.starts_with('Z')
        }
        // A container may lack ps.
        Err(_) => {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            state.map_or(true, |state| state.contains(") Z "))
        }
    }
}

/// It sends only allowed commands to a server, and a bounded number in a reading, however many reservations there are.
#[test]
fn a_large_shop_is_watched_in_small_steps() {
    let server = Server::start();
    let mut shop = server.connect();
    for number in 0..600 {
        shop.ask(format!("INV.SET P-{number} AVAILABLE 1000"));
    }
    let reserve = |number| format!("INV.RESERVE R-{number} EX 900 ITEMS P-{} 1", number % 600);
    for page in 0..5 {
        shop.burst(&(0..1000).map(|number| reserve(page * 1000 + number)).collect::<Vec<_>>());
    }
    shop.ask("CONFIG RESETSTAT");
    let terminal = Terminal::open(&server, 80, 24);
    terminal.wait_for("2 Reservations: showing 200 of 5,000, next deadline first");
    terminal.wait("all products are found in the end", |screen| screen.contains("1 Products: 600"));
    terminal.press(&["Enter"]);
    terminal.wait("those of one product", |screen| {
        screen.lines().any(|line| line.contains("2 Reservations of P-") && line.contains(" 8, "))
            || screen.lines().any(|line| line.contains("2 Reservations of P-") && line.contains(" 9, "))
    });
    terminal.press(&["q"]);
    terminal.assert_ended(0);

    let calls = calls(&mut shop);
    let names: BTreeSet<&str> = calls.iter().map(|(name, _)| name.as_str()).collect();
    let allowed = [
        "info",
        "inv.alerts",
        "inv.get",
        "inv.scan",
        "inv.stock",
        "inv.stockscan",
        // INV.STOCKSCAN calls it.
        "scan",
        "client|setinfo",
        "config|get",
        "xrevrange",
        "config|resetstat",
    ];
    assert!(names.is_subset(&BTreeSet::from(allowed)), "{names:?}");
    let count = |name: &str| calls.iter().find(|call| call.0 == name).map_or(0, |call| call.1);
    let readings = count("info");
    assert!(readings > 0);
    assert!(count("inv.get") <= 200 * readings, "{calls:?}");
    assert!(count("inv.stock") <= 200 * readings, "{calls:?}");
    assert!(count("inv.scan") <= 4 * readings, "{calls:?}");
    assert!(count("inv.stockscan") <= 4 * readings, "{calls:?}");
}

#[test]
fn of_a_cluster_one_node_is_watched() {
    let cluster = Cluster::start(3);
    let owner = &cluster.masters[cluster.owner("SHOE")];
    let mut shop = owner.connect();
    shop.ask("CONFIG SET inv.feed-maxlen 100");
    shop.ask("INV.SET SHOE AVAILABLE 20");
    shop.ask("INV.RESERVE {SHOE}:R1 EX 500 ITEMS SHOE 12");
    let elsewhere =
        (0..).map(|number| format!("P-{number}")).find(|name| cluster.owner(name) != cluster.owner("SHOE"));
    let elsewhere = elsewhere.expect("a product of another node");
    let url = format!("redis://127.0.0.1:{}", owner.port());
    let terminal = Terminal::run(80, 24, &[("INV_URL", &url), ("LC_ALL", "C.UTF-8")], &elsewhere);
    terminal.wait("its stock", |screen| {
        screen.lines().any(|line| line.starts_with(" SHOE ") && line.ends_with("8       12 LOW"))
    });
    terminal.wait_for(" {SHOE}:R1 ");
    terminal.wait_for("LOW_STOCK     SHOE");
    terminal.wait(&elsewhere, |screen| {
        screen.lines().any(|line| line.contains(&elsewhere) && line.contains("no such product here"))
    });
    terminal.press(&["q"]);
    terminal.assert_ended(0);
}

/// How often each command was executed.
fn calls(shop: &mut Client) -> Vec<(String, u64)> {
    let stats = shop.ask("INFO commandstats");
    let call = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_ascii_lowercase(), rest.split(',').next()?.parse().ok()?))
    };
    stats.as_str().expect("text").lines().filter_map(call).collect()
}

#[test]
fn a_user_sees_what_the_acl_lets_it_see_and_a_wrong_password_ends_it() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("INV.SET shop1:SHOE AVAILABLE 50");
    shop.ask("INV.SET shop2:LACE AVAILABLE 50");
    shop.ask("INV.RESERVE shop1:R1 EX 500 DATA 曛-7 ITEMS shop1:SHOE 5");
    shop.ask("INV.RESERVE shop2:R2 EX 500 ITEMS shop2:LACE 5");
    shop.ask([
        "ACL",
        "SETUSER",
        "clerk",
        "on",
        ">one of a test",
        "~shop1:*",
        "+inv.scan",
        "+inv.get",
        "+inv.stock",
        "+inv.stockscan",
        "+inv.alerts",
    ]);
    let url = |password: &str| format!("redis://clerk:{password}@127.0.0.1:{}", server.port());
    let open = |password: &str| {
        Terminal::run(
            80,
            24,
            &[("INV_URL", &url(password)), ("LC_ALL", "C"), ("NO_COLOR", "1")],
            "shop1:GHOST",
        )
    };

    let terminal = open("one%20of%20a%20test");
    terminal.wait_for(" shop1:R1");
    terminal.wait_for("shop1:SHOE 5  ? -7");
    terminal.wait("its stock", |screen| {
        screen.lines().any(|line| line.starts_with(" shop1:SHOE ") && line.ends_with("45        5"))
    });
    terminal.wait_for("no such product here");
    terminal.wait_for("this user may not see INFO, the feed");
    terminal.wait_for(&format!("clerk@127.0.0.1:{}", server.port()));
    let screen = terminal.ask(&["capture-pane", "-p", "-e"]);
    assert!(!screen.contains("shop2") && !screen.contains("one of"), "{screen}");
    // Neither colours, except the terminal's default, nor anything beyond ASCII.
    let plain = screen.replace("\u{1b}[39m", "").replace("\u{1b}[49m", "");
    assert!(plain.is_ascii() && !plain.contains("[3") && !plain.contains("[4"), "{screen}");
    // A refused command is not sent again in every reading.
    let denied = calls(&mut shop).into_iter().find(|(name, _)| name == "xrevrange");
    assert!(denied.is_none_or(|(_, calls)| calls == 0));
    terminal.press(&["q"]);
    terminal.assert_ended(0);

    let terminal = open("another");
    terminal.wait_for("watch: clerk@127.0.0.1");
    terminal.wait_for("rejects this user");
    terminal.assert_ended(1);
}

#[test]
fn what_is_no_terminal_is_refused_with_a_word() {
    for (term, word) in [("dumb", "TERM is \"dumb\""), ("", "TERM is \"\"")] {
        let terminal = Terminal::run(80, 24, &[("TERM", term)], "");
        terminal.wait_for(word);
        terminal.assert_ended(1);
    }
    let refused = |arguments: &[&str]| {
        let done =
            Command::new(program()).args(arguments).stdin(Stdio::null()).output().expect("the program");
        assert!(!done.status.success());
        [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
    };
    assert_eq!(refused(&[]), "watch: this is not a terminal\n");
    assert!(refused(&["--colour"]).starts_with("usage: watch"));
    assert!(refused(&["http://127.0.0.1"]).starts_with("watch: "));
}

/// If the user may not see one key, the others are still shown, even if a reading is full of hidden ones.
#[test]
fn a_product_that_the_user_may_not_see_hides_no_other() {
    let server = Server::start_with(&["inv.feed-maxlen 1000"]);
    let mut shop = server.connect();
    for number in 0..60 {
        shop.ask(format!("INV.SET shop2:P-{number} AVAILABLE 50"));
    }
    shop.ask("INV.SET shop1:SHOE AVAILABLE 50");
    shop.ask("INV.SET shop3:LACE AVAILABLE 50");
    let rules = "ACL SETUSER clerk on >secret ~shop1:* ~inventory:feed +inv.scan +inv.get +inv.stock +inv.stockscan +inv.alerts +xrevrange";
    shop.ask(rules);
    let url = format!("redis://clerk:secret@127.0.0.1:{}", server.port());
    let terminal = Terminal::run(80, 24, &[("INV_URL", &url), ("LC_ALL", "C.UTF-8")], "shop2:P-7");
    terminal.wait("the hidden one", |screen| {
        screen
            .lines()
            .any(|line| line.starts_with(" shop2:P-7 ") && line.contains("this user may not see it"))
    });
    terminal.wait("the one of the feed", |screen| {
        screen.lines().any(|line| line.starts_with(" shop1:SHOE ") && line.ends_with("50        0"))
    });
    terminal.wait_for("this user may not see INFO");
    terminal.wait("both", |screen| screen.contains("1 Products: 2,") && !screen.contains("INV.STOCK"));
    // Its reservations are hidden too, but no others.
    terminal.press(&["Home"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("2 Reservations of shop2:P-7: 0");
    terminal.press(&["Escape"]);
    shop.ask("INV.RESERVE shop1:R1 EX 500 ITEMS shop1:SHOE 5");
    terminal.wait_for(" shop1:R1 ");
    terminal.press(&["q"]);
    terminal.assert_ended(0);
    // Hidden keys are not requested again.
    let stats = shop.ask("INFO commandstats");
    let refused = stats.as_str().expect("text").lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("cmdstat_inv.stock:")?
            .split_once("rejected_calls=")?
            .1
            .split(',')
            .next()?
            .parse()
            .ok()
    });
    assert!(refused.is_some_and(|calls: u64| (1..=61).contains(&calls)), "{refused:?}");
}

#[test]
fn in_tagged_key_style_it_says_that_it_reads_no_feed() {
    let server = Server::start_with(&["inv.key-style tagged", "inv.feed-maxlen 1000"]);
    server.connect().ask("INV.SET {shop1}:SHOE AVAILABLE 50");
    let terminal = Terminal::open(&server, 80, 24);
    terminal.wait_for("the feeds are not read: in tagged key style there is one for each tag");
    terminal.press(&["q"]);
    terminal.assert_ended(0);
}

/// From the environment it uses INV_URL unchanged, but not URL, which is a common name.
#[test]
fn make_watch_takes_its_url_from_inv_url_or_from_its_command_line() {
    let make = |variables: &[(&str, &str)], words: &[&str]| {
        program();
        let done = Command::new("make")
            .args(["--no-print-directory", "watch"])
            .args(words)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_remove("INV_URL")
            .env("CARGO_TARGET_DIR", target())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("make");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        said.lines().find(|line| line.starts_with("watch: ")).map(str::to_owned).unwrap_or(said)
    };
    let (fine, unlike) =
        ("watch: this is not a terminal", "watch: URL=... must look like redis://user:password@host:6379/0");
    assert_eq!(make(&[("URL", "http://x")], &[]), fine);
    assert_eq!(make(&[("INV_URL", "redis://:a$(b)$c'd@h")], &[]), fine);
    assert_eq!(make(&[("INV_URL", "http://x")], &[]), unlike);
    assert_eq!(make(&[("INV_URL", "http://x")], &["URL=redis://h"]), fine);
    assert_eq!(make(&[], &["URL=http://x"]), unlike);
    assert_eq!(make(&[], &["INV_URL=127.0.0.1:7800"]), unlike);

    // A password reaches the server unchanged.
    let server = Server::start();
    server.connect().ask(["ACL", "SETUSER", "clerk", "on", ">a$(b)$c'd", "~*", "+@all"]);
    let url = format!("redis://clerk:a$(b)$c'd@127.0.0.1:{}", server.port());
    let target = target().display().to_string();
    let line = format!("cd '{}' && make watch", env!("CARGO_MANIFEST_DIR"));
    let variables = [("INV_URL", url.as_str()), ("LC_ALL", "C.UTF-8"), ("CARGO_TARGET_DIR", &target)];
    let terminal = Terminal::start(80, 24, &variables, &line);
    terminal.wait_for("None is live.");
    terminal.wait_for("clerk@127.0.0.1");
}

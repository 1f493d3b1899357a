//! A real terminal, tmux.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{root, wait_until};

fn tmux() -> &'static OsStr {
    static FOUND: OnceLock<OsString> = OnceLock::new();
    FOUND.get_or_init(|| {
        std::env::var_os("INV_TMUX").unwrap_or_else(|| {
            let find = "exports=$(scripts/setup-tmux.sh) && eval \"$exports\" && printf %s \"$INV_TMUX\"";
            let found = Command::new("bash")
                .args(["-c", find])
                .current_dir(root())
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
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The shell's message after the program has ended, followed by the exit code.
pub const ENDED: &str = "it has ended with";

impl Terminal {
    /// Runs a command between two others, the second of which shows the terminal's settings.
    pub fn run(width: u16, height: u16, variables: &[(&str, &str)], command: &str) -> Self {
        let line = format!(
            "echo before; {command}; echo {ENDED} $?; stty -a | grep -ow -e '-*icanon' -e '-*echo'; read -r _"
        );
        Self::start(width, height, variables, &line)
    }

    /// Runs a line of a shell.
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

    pub fn ask(&self, words: &[&str]) -> String {
        Self::done(self.command().args(words))
    }

    pub fn press(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    pub fn resize(&self, width: u16, height: u16) {
        self.ask(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    pub fn screen(&self) -> String {
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

    /// Asserts that the program of [`Terminal::run`] has ended with this code, and that the terminal is restored.
    pub fn assert_ended(&self, code: i32) {
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

//! What a shell sees: help, completions, wrong words.

use std::process::Command;

use crate::{Done, plain_command};

fn run(words: &[&str]) -> Done {
    Done::of(&mut plain_command(words), "")
}

#[test]
fn completions_are_scripts_that_their_shells_accept() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).fine();
        for word in ["import", "export", "low", "watch", "demo", "dry-run"] {
            assert!(script.contains(word), "{word} is not in the completions for {shell}");
        }
        // zsh and fish may not be installed.
        let checked = Command::new(shell).args(["-n", "-c", &script]).output();
        if let Ok(checked) = checked {
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        }
    }
    let script = run(&["completions", "bash"]).fine();
    let line = "COMP_WORDS=(inv im) COMP_CWORD=1; _inv inv im inv; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let done = Command::new("bash").args(["-c", &format!("{script}\n{line}")]).output().expect("bash");
    assert_eq!(
        String::from_utf8_lossy(&done.stdout),
        "import\n",
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn the_help_of_each_subcommand_names_its_options_and_shows_no_password() {
    for subcommand in ["import", "export", "low", "watch", "demo", "completions"] {
        let help = plain_command(&[subcommand, "--help"])
            .env("INV_URL", "redis://:secret@host")
            .output()
            .expect("inv");
        let text = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(help.status.success() && text.contains("--url") && !text.contains("secret"), "{text}");
    }
    let help = run(&["--help"]).fine();
    assert!(help.contains("Exit codes: 0 "), "{help}");
    assert!(run(&["--version"]).fine().starts_with("inv "));
}

#[test]
fn wrong_words_are_refused_with_exit_code_2() {
    for words in [&[][..], &["sell"], &["import"], &["low", "--timeout", "0"], &["completions", "ksh"]] {
        let done = run(words);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{done:?}");
    }
}

//! Shows the stock of a server live in the terminal:
//!
//!     make watch
//!     INV_URL='redis://user:password@host:6379/0' make watch ARGS="PROD-1 PROD-2"
//!
//! It only reads: with INV.STOCKSCAN, INV.STOCK, INV.SCAN, INV.GET and INV.ALERTS; from the feed, if there is one; and INFO, if
//! the user may. A reading takes a bounded number of commands, whatever the server holds
//! (`source.rs`), and expensive ones are rare. In a cluster, it shows one node.
//!
//! `source.rs` reads, `state.rs` keeps what was read, and `view.rs` draws it.

mod source;
mod state;
mod view;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::terminal::is_raw_mode_enabled;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use source::{Ask, Failure, Reading, Source};
use state::State;
use view::Look;

const USAGE: &str = "usage: watch [redis://[user[:password]@]host[:port][/db]] [product ...]
The URL may stand in INV_URL as well, where no other user of this machine reads it.";

/// The pause between two readings is a multiple of the duration of the last one, within these bounds. The upper bound makes sure
/// that it continues soon after the server was busy.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const PAUSE_TIMES: u32 = 4;

/// How often the screen is updated.
const TICK: Duration = Duration::from_millis(50);
const REDRAW: Duration = Duration::from_millis(200);

/// The longest time from a signal to the end.
const GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument.starts_with('-')) {
        println!("{USAGE}");
        return ExitCode::from(u8::from(arguments != ["--help"]) * 2);
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The error may contain text from the server.
            let _ = writeln!(io::stderr(), "watch: {}", view::plain(&error, is_utf8()));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<(), String> {
    let (urls, products): (Vec<String>, Vec<String>) =
        arguments.into_iter().partition(|argument| argument.contains("://"));
    let url = urls.into_iter().next().or_else(|| variable("INV_URL"));
    let source = Source::new(&url.unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned()))?;
    let look = look()?;
    let mut state = State::new(source.target(), &products);

    let is_ended = end_on_signals().map_err(|error| error.to_string())?;
    let readings = Readings::start(source);
    // A panic restores the terminal as well.
    let end = match ratatui::try_init() {
        Ok(mut terminal) => watch(&mut terminal, &mut state, &readings, look, &is_ended),
        Err(error) => Err(error.to_string()),
    };
    // A panic of the reading thread has restored it already. If the terminal is gone, there is nothing to restore.
    if is_raw_mode_enabled().unwrap_or(true) {
        let _ = ratatui::try_restore();
    }
    end
}

/// Whether a signal has requested the end. If the terminal is gone, waiting for its keys never returns (crossterm 0.29), so the
/// process is ended after a while.
fn end_on_signals() -> io::Result<Arc<AtomicBool>> {
    let is_ended = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let flag = Arc::clone(&is_ended);
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            flag.store(true, Ordering::Relaxed);
            thread::sleep(GRACE);
            std::process::exit(1);
        }
    });
    Ok(is_ended)
}

/// The capabilities of the terminal, or an error if it cannot be used.
fn look() -> Result<Look, String> {
    let term = variable("TERM").unwrap_or_default();
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err("this is not a terminal".to_owned());
    }
    if matches!(term.as_str(), "" | "dumb") {
        return Err(format!("this needs a terminal that can move its cursor, but TERM is \"{term}\""));
    }
    Ok(Look { is_utf8: is_utf8(), is_coloured: variable("NO_COLOR").is_none() })
}

fn is_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default();
    locale.to_ascii_lowercase().replace('-', "").contains("utf8")
}

/// An environment variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A thread that reads while the keys are handled, because the server may be slow.
struct Readings {
    asks: Sender<Ask>,
    answers: Receiver<(Result<Reading, Failure>, Duration)>,
}

impl Readings {
    fn start(mut source: Source) -> Self {
        let (asks, wanted) = mpsc::channel::<Ask>();
        let (done, answers) = mpsc::channel();
        // It ends with the process, or when a channel is closed.
        thread::spawn(move || {
            for ask in wanted {
                let start = Instant::now();
                let answer = source.read(&ask);
                if done.send((answer, start.elapsed())).is_err() {
                    return;
                }
            }
        });
        Self { asks, answers }
    }
}

fn watch(
    terminal: &mut DefaultTerminal,
    state: &mut State,
    readings: &Readings,
    look: Look,
    is_ended: &AtomicBool,
) -> Result<(), String> {
    const ENDED: &str = "the thread that reads the server has ended";
    let mut next = Some(Instant::now());
    let (mut drawn, mut is_changed) = (Instant::now(), true);
    while !is_ended.load(Ordering::Relaxed) {
        match readings.answers.try_recv() {
            Ok((answer, took)) => {
                is_changed = true;
                // The first reading finds the products; read their stock right after it.
                let least = if state.has_read() { PAUSE } else { TICK };
                let pause = (took * PAUSE_TIMES).clamp(least, LONGEST_PAUSE);
                state.pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
                next = Some(Instant::now() + pause);
                match answer {
                    Ok(reading) => state.take(reading, source::now()),
                    Err(Failure::Lost(reason)) => {
                        next = Some(Instant::now() + PAUSE);
                        state.lose(reason, source::now());
                    }
                    Err(Failure::Refused(reason)) => return Err(format!("{}: {reason}", state.target)),
                }
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Err(ENDED.to_owned()),
        }
        if next.is_some_and(|next| next <= Instant::now()) {
            next = None;
            readings.asks.send(state.ask(source::now())).map_err(|_| ENDED.to_owned())?;
        }
        if is_changed || drawn.elapsed() >= REDRAW {
            state.pass(source::now());
            draw(terminal, state, look).map_err(|error| error.to_string())?;
            drawn = Instant::now();
        }
        match serve_keys(state).map_err(|error| error.to_string())? {
            Keys::Nothing => is_changed = false,
            Keys::Change => is_changed = true,
            Keys::Quit => return Ok(()),
        }
    }
    Ok(())
}

fn draw(terminal: &mut DefaultTerminal, state: &mut State, look: Look) -> io::Result<()> {
    terminal.draw(|frame| view::draw(frame, state, source::now(), look)).map(|_| ())
}

/// What came from the terminal.
enum Keys {
    Nothing,
    Change,
    Quit,
}

/// Waits briefly for keys and for a change of the size.
fn serve_keys(state: &mut State) -> io::Result<Keys> {
    let mut keys = Keys::Nothing;
    let mut wait = TICK;
    while event::poll(wait)? {
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
            && !state.press(key)
        {
            return Ok(Keys::Quit);
        }
        (keys, wait) = (Keys::Change, Duration::ZERO);
    }
    Ok(keys)
}

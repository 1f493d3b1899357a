//! `inv watch`: the stock of a server, or of all masters of a cluster, live in the terminal.
//!
//! It only reads: with INV.STOCKSCAN, INV.STOCK, INV.SCAN, INV.GET and INV.ALERTS; from the feed, if there is one; and INFO, if
//! the user may. A reading takes a bounded number of commands, whatever the server holds, and expensive ones are rare.
//!
//! [`source`] reads all masters through a [`link`] to each, [`state`] keeps what was read, and [`view`] draws it.

pub mod link;
pub mod lists;
pub mod look;
pub mod rates;
pub mod reading;
pub mod replies;
pub mod source;
pub mod state;
pub mod texts;
pub mod view;

use std::io::{self, IsTerminal};
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

use crate::failure::{Exit, Failure};
use crate::server::address;
use link::now;
use look::Look;
use reading::{Ask, Reading, Trouble};
use source::Source;
use state::State;

/// Show stock, reservations and alerts, live.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Products that stay on the screen, even if the server does not know them.
    products: Vec<String>,
}

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

/// Shows it until a key or a signal ends it.
pub fn run(options: &Options, server: &address::Options) -> Result<Exit, Failure> {
    let address = server.address()?;
    let look = look().map_err(Failure::usage)?;
    let mut state = State::new(address.login(), &options.products);

    let is_ended = end_on_signals().map_err(|error| Failure::usage(error.to_string()))?;
    let readings = Readings::start(Source::new(address));
    // A panic restores the terminal as well.
    let end = match ratatui::try_init() {
        Ok(mut terminal) => watch(&mut terminal, &mut state, &readings, look, &is_ended),
        Err(error) => Err(Failure::usage(error.to_string())),
    };
    // A panic of the reading thread has restored it already. If the terminal is gone, there is nothing to restore.
    if is_raw_mode_enabled().unwrap_or(true) {
        let _ = ratatui::try_restore();
    }
    end.map(|()| Exit::Done)
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
    answers: Receiver<(Result<Reading, Trouble>, Duration)>,
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
) -> Result<(), Failure> {
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
                    Ok(reading) => state.take(reading, now()),
                    Err(Trouble::Lost(reason)) => {
                        next = Some(Instant::now() + PAUSE);
                        state.lose(reason, now());
                    }
                    Err(Trouble::Refused(reason)) => {
                        return Err(Failure::refused(format!("{}: {reason}", state.target)));
                    }
                }
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Err(Failure::connection(ENDED)),
        }
        if next.is_some_and(|next| next <= Instant::now()) {
            next = None;
            readings.asks.send(state.ask(now())).map_err(|_| Failure::connection(ENDED))?;
        }
        if is_changed || drawn.elapsed() >= REDRAW {
            state.pass(now());
            draw(terminal, state, look).map_err(|error| Failure::output(&error))?;
            drawn = Instant::now();
        }
        match serve_keys(state).map_err(|error| Failure::output(&error))? {
            Keys::Nothing => is_changed = false,
            Keys::Change => is_changed = true,
            Keys::Quit => return Ok(()),
        }
    }
    Ok(())
}

fn draw(terminal: &mut DefaultTerminal, state: &mut State, look: Look) -> io::Result<()> {
    terminal.draw(|frame| view::draw(frame, state, now(), look)).map(|_| ())
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

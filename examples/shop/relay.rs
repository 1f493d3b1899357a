//! The connections of a process of the shop, which can be cut at any step: before a request arrives, or before its answer does.
//! For everybody else, this is a process that was killed at that moment.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What happens at a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The request does not arrive.
    BeforeTheRequest,
    /// The request is carried out, and its answer does not arrive.
    BeforeTheAnswer,
}

/// Where a relay leads.
#[derive(Clone)]
pub enum Target {
    /// A port of this machine, which may change.
    Port(Arc<AtomicU16>),
    /// The socket of PostgreSQL.
    Socket(PathBuf),
}

/// What all connections of a process have in common.
#[derive(Default)]
pub struct Line {
    state: Mutex<State>,
    /// The requests so far.
    requests: AtomicU64,
}

#[derive(Default)]
struct State {
    cut: Option<(u64, Cut)>,
    is_cut: bool,
    open: Vec<Arc<Pair>>,
}

/// A connection: the client's end and the server's.
struct Pair {
    client: Stream,
    server: Stream,
    /// The next answer is not passed on.
    is_muted: AtomicBool,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What to do with a request.
enum Fate {
    Pass,
    Mute,
    Drop,
}

impl Line {
    /// Plans a cut at the request with this number, counted from 0.
    pub fn cut_at(&self, request: u64, cut: Cut) {
        let mut state = self.state.lock().expect("a state");
        self.requests.store(0, Ordering::Relaxed);
        state.cut = Some((request, cut));
        state.is_cut = false;
    }

    /// Connects the process again, and plans nothing.
    pub fn mend(&self) {
        let mut state = self.state.lock().expect("a state");
        self.requests.store(0, Ordering::Relaxed);
        state.cut = None;
        state.is_cut = false;
    }

    /// Whether the planned cut has happened.
    pub fn is_cut(&self) -> bool {
        self.state.lock().expect("a state").is_cut
    }

    /// Whether every connection is closed, so that no late message counts as a request of the next process.
    pub fn is_idle(&self) -> bool {
        self.state.lock().expect("a state").open.is_empty()
    }

    /// Cuts all connections now, until [`Self::mend`].
    pub fn cut(&self) {
        let mut state = self.state.lock().expect("a state");
        state.is_cut = true;
        state.cut = None;
        for pair in state.open.drain(..) {
            pair.close();
        }
    }

    fn fate(&self) -> Fate {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let state = self.state.lock().expect("a state");
        match state.cut {
            Some((at, Cut::BeforeTheRequest)) if number >= at => Fate::Drop,
            Some((at, Cut::BeforeTheAnswer)) if number == at => Fate::Mute,
            _ => Fate::Pass,
        }
    }
}

/// Listens for the process, and returns the port.
pub fn relay(target: Target, line: &Arc<Line>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let line = Arc::clone(line);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = target.connect() else { continue };
            let _ = client.set_nodelay(true);
            let pair =
                Arc::new(Pair { client: Stream::Tcp(client), server, is_muted: AtomicBool::new(false) });
            {
                let mut state = line.state.lock().expect("a state");
                if state.is_cut {
                    pair.close();
                    continue;
                }
                state.open.push(Arc::clone(&pair));
            }
            let (requests, answers) = (Arc::clone(&line), Arc::clone(&line));
            let other = Arc::clone(&pair);
            thread::spawn(move || pass_requests(&pair, &requests));
            thread::spawn(move || pass_answers(&other, &answers));
        }
    });
    port
}

fn pass_requests(pair: &Pair, line: &Line) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count) = pair.client.read(&mut bytes) {
        if count == 0 {
            break;
        }
        match line.fate() {
            Fate::Pass => {}
            Fate::Mute => pair.is_muted.store(true, Ordering::SeqCst),
            Fate::Drop => {
                line.cut();
                break;
            }
        }
        if pair.server.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    pair.close();
}

fn pass_answers(pair: &Pair, line: &Line) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count) = pair.server.read(&mut bytes) {
        if pair.is_muted.load(Ordering::SeqCst) {
            line.cut();
            break;
        }
        if count == 0 || pair.client.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    pair.close();
    line.state.lock().expect("a state").open.retain(|open| !std::ptr::eq(&raw const **open, pair));
}

impl Target {
    fn connect(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Port(port) => {
                let stream = TcpStream::connect(("127.0.0.1", port.load(Ordering::SeqCst)))?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Self::Socket(path) => Stream::Unix(UnixStream::connect(path)?),
        })
    }
}

impl Pair {
    fn close(&self) {
        self.client.close();
        self.server.close();
    }
}

impl Stream {
    fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&*stream).read(bytes),
            Self::Unix(stream) => (&*stream).read(bytes),
        }
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => (&*stream).write_all(bytes),
            Self::Unix(stream) => (&*stream).write_all(bytes),
        }
    }

    fn close(&self) {
        // It may be closed already.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

//! Commands and replies on a connection, in RESP2, for loads that the server's benchmark program cannot generate.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Commands that are sent in one write.
#[derive(Default)]
pub struct Batch {
    pub bytes: Vec<u8>,
    pub commands: usize,
}

impl Batch {
    pub fn push(&mut self, words: &[&str]) {
        write!(self.bytes, "*{}\r\n", words.len()).unwrap();
        for word in words {
            write!(self.bytes, "${}\r\n{word}\r\n", word.len()).unwrap();
        }
        self.commands += 1;
    }
}

/// A connection. It parses replies itself, because all processor time used here is lost to the servers.
pub struct Line {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The start of the bytes that were received but not parsed yet.
    from: usize,
    to: usize,
}

impl Line {
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server takes connections");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, buffer: vec![0; 64 * 1024], from: 0, to: 0 }
    }

    pub fn send(&mut self, batch: &Batch) {
        self.stream.write_all(&batch.bytes).expect("the server reads");
    }

    /// Receives this many replies and passes the bytes of each to `each`.
    pub fn receive(&mut self, replies: usize, mut each: impl FnMut(&[u8])) {
        for _ in 0..replies {
            let length = loop {
                match length_of_reply(&self.buffer[self.from..self.to]) {
                    Some(length) => break length,
                    None => self.read(),
                }
            };
            each(&self.buffer[self.from..self.from + length]);
            self.from += length;
        }
    }

    fn read(&mut self) {
        self.buffer.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        if self.to == self.buffer.len() {
            self.buffer.resize(2 * self.to, 0);
        }
        let read = self.stream.read(&mut self.buffer[self.to..]).expect("the server answers");
        assert!(read > 0, "the server has closed a connection");
        self.to += read;
    }
}

/// The length of the first reply (RESP2), if it is complete.
pub fn length_of_reply(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut parts = 1_usize;
    while parts > 0 {
        let end = at + bytes[at..].iter().position(|byte| *byte == b'\n')? + 1;
        let line = &bytes[at..end - 2];
        at = end;
        let count = || std::str::from_utf8(&line[1..]).unwrap().parse::<isize>().expect("a count");
        match line[0] {
            b'*' => parts += usize::try_from(count()).unwrap_or(0),
            // The text and its line end; a null has neither.
            b'$' => at += usize::try_from(count()).map_or(0, |length| length + 2),
            _ => {}
        }
        parts -= 1;
    }
    (at <= bytes.len()).then_some(at)
}

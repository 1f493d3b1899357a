//! A network between cluster nodes that can be interrupted.
//!
//! Each node announces the port of a relay instead of its own, and connects to others from its own address, by which the relays
//! identify it.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::free_port;

/// The nodes of one cluster, by number. At first, none is isolated.
#[derive(Clone, Default)]
pub struct Network {
    /// The number of the isolated node; 0: none.
    alone: Arc<AtomicU8>,
}

impl Network {
    /// The address from which this node, counted from 1, connects to others.
    pub fn address(number: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 0, 100 + number)
    }

    /// Listens for the node with this number, whose own port is `to`, and returns the port.
    pub fn relay(&self, number: u8, to: u16) -> u16 {
        // Another process may take a free port first.
        let mut ports = std::iter::repeat_with(free_port);
        let listener = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        let listener = listener.expect("a free port");
        let at = listener.local_addr().expect("an address").port();
        let network = self.clone();
        thread::spawn(move || {
            for call in listener.incoming() {
                let Ok(call) = call else { break };
                network.connect(call, number, to);
            }
        });
        at
    }

    /// Isolates the node with this number in both directions.
    pub fn part(&self, number: u8) {
        self.alone.store(number, Ordering::Relaxed);
    }

    /// Ends the isolation.
    pub fn unite(&self) {
        self.alone.store(0, Ordering::Relaxed);
    }

    fn is_cut(&self, one: u8, other: u8) -> bool {
        let alone = self.alone.load(Ordering::Relaxed);
        one != other && (one == alone || other == alone)
    }

    fn connect(&self, call: TcpStream, callee: u8, port: u16) {
        let Ok(IpAddr::V4(address)) = call.peer_addr().map(|peer| peer.ip()) else { return };
        let caller = address.octets()[3].saturating_sub(100);
        if self.is_cut(caller, callee) {
            return;
        }
        let Ok(answer) = TcpStream::connect(("127.0.0.1", port)) else { return };
        for (from, to) in [(&call, &answer), (&answer, &call)] {
            let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
            let network = self.clone();
            thread::spawn(move || network.pass_on(from, to, caller, callee));
        }
    }

    fn pass_on(&self, mut from: TcpStream, mut to: TcpStream, caller: u8, callee: u8) {
        let _ = from.set_read_timeout(Some(Duration::from_millis(50)));
        let mut bytes = [0; 16 * 1024];
        while !self.is_cut(caller, callee) {
            match from.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) if to.write_all(&bytes[..count]).is_ok() => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Ok(_) | Err(_) => break,
            }
        }
        // End the other direction as well.
        for stream in [from, to] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

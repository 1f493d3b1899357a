//! The load: connections that each keep one batch of commands in flight.
//!
//! The server's benchmark program cannot generate this load. With `--cluster` it adds its own tag to each command, and for some
//! slots that is `{Qi}}`, which is not a valid id: one command in five is refused, and it does not report that. Also, it sends a
//! pipeline's 32 commands to one product, and Redis's version rejects a cluster of one node.

use std::thread;
use std::time::Instant;

use crate::wire::{Batch, Line};

/// A connection and the batches to send on it.
pub struct Lane {
    pub line: Line,
    pub batches: Vec<Batch>,
}

/// The results of a load.
pub struct Driven {
    pub seconds: f64,
    /// The time of each batch, from its write to its last reply.
    pub batch_ms: Vec<f64>,
    /// Processor seconds used by the load.
    pub cpu: Option<f64>,
    /// Processor seconds used on the machine by all processes.
    pub machine_cpu: Option<f64>,
}

/// Sends everything, with a thread for each master, so that none waits for another. Any refusal aborts the run, because a refused
/// command is cheaper than a successful one.
pub fn drive(masters: &mut [Vec<Lane>]) -> Driven {
    let machine_cpu = cpu_of_the_machine();
    let begin = Instant::now();
    let driven: Vec<(Vec<f64>, Option<f64>)> = thread::scope(|scope| {
        let threads: Vec<_> = masters.iter_mut().map(|lanes| scope.spawn(|| drive_one(lanes))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a load")).collect()
    });
    let seconds = begin.elapsed().as_secs_f64();
    let machine_cpu = since(machine_cpu, cpu_of_the_machine());
    let cpu = driven.iter().map(|(_, cpu)| *cpu).sum();
    let batch_ms = driven.into_iter().flat_map(|(batch_ms, _)| batch_ms).collect();
    Driven { seconds, batch_ms, cpu, machine_cpu }
}

/// Returns the times of the batches and the processor seconds. A connection sends its next batch when the previous one has been
/// answered.
fn drive_one(lanes: &mut [Lane]) -> (Vec<f64>, Option<f64>) {
    let longest = lanes.iter().map(|lane| lane.batches.len()).max().unwrap();
    let mut batch_ms = Vec::with_capacity(longest * lanes.len());
    let mut sent = vec![Instant::now(); lanes.len()];
    let cpu = cpu_of_this_thread();
    for (lane, sent) in lanes.iter_mut().zip(&mut sent) {
        *sent = Instant::now();
        lane.line.send(&lane.batches[0]);
    }
    for number in 0..longest {
        for (lane, sent) in lanes.iter_mut().zip(&mut sent) {
            let Some(batch) = lane.batches.get(number) else { continue };
            lane.line.receive(batch.commands, |reply| {
                assert!(reply[0] != b'-', "{}", String::from_utf8_lossy(reply));
            });
            batch_ms.push(sent.elapsed().as_secs_f64() * 1000.0);
            if let Some(next) = lane.batches.get(number + 1) {
                *sent = Instant::now();
                lane.line.send(next);
            }
        }
    }
    (batch_ms, since(cpu, cpu_of_this_thread()))
}

/// Processor seconds of this thread since it started, if the system reports them (Linux).
pub fn cpu_of_this_thread() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split(' ').next()?.parse().ok()?;
    Some(nanoseconds / 1e9)
}

/// Processor seconds used on this machine, including those taken by its host, if the system reports them (Linux).
pub fn cpu_of_the_machine() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<f64> = text.lines().next()?.split(' ').filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal: in hundredths of a second.
    Some((ticks.get(..8)?.iter().sum::<f64>() - ticks[3] - ticks[4]) / 100.0)
}

/// What was used between two measurements.
pub fn since(before: Option<f64>, now: Option<f64>) -> Option<f64> {
    Some(now? - before?)
}

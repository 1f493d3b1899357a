//! Writes batches into the tables, in a thread and on a connection of its own, so that the next batch is read meanwhile.
//!
//! One batch is written at a time, in one transaction with the positions of its feeds. It is written only if these are where the
//! batch before has left them, so whatever happens to the thread or to the lock, no batch is skipped or written twice.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use super::book::{Changes, Reservation};
use super::entry::{EntryId, Units};
use crate::failure::Failure;
use crate::tables::feeds::Advance;
use crate::tables::{Tables, failed, feeds, rows, settings};

/// What is written in one transaction.
pub struct Batch {
    /// Movements and stock, and the ids of reservations.
    pub changes: Changes,
    /// The rows of these reservations.
    pub reservations: Vec<(String, Reservation)>,
    /// The units of quotas.
    pub quotas: Vec<(String, Option<Units>)>,
    /// How far the feeds have been read.
    pub advances: Vec<Advance>,
    /// Entries that were removed before they were read: the feed and its epoch, the entry before them, and about how many.
    pub gaps: Vec<(i32, i32, EntryId, i64)>,
}

/// The thread that writes.
pub struct Writer {
    batches: Option<Sender<Batch>>,
    results: Receiver<Result<Changes, Failure>>,
    thread: Option<JoinHandle<()>>,
    is_busy: bool,
}

impl Writer {
    /// Starts the thread, which writes on this connection.
    pub fn start(mut tables: Tables) -> Self {
        let (batches, received) = channel();
        let (sender, results) = channel();
        let thread = thread::spawn(move || {
            for batch in received {
                if sender.send(write(&mut tables, batch)).is_err() {
                    break;
                }
            }
        });
        Self { batches: Some(batches), results, thread: Some(thread), is_busy: false }
    }

    /// Begins to write a batch. The one before has been written.
    pub fn begin(&mut self, batch: Batch) -> Result<(), Failure> {
        let sent = self.batches.as_ref().is_some_and(|batches| batches.send(batch).is_ok());
        self.is_busy = sent;
        if sent { Ok(()) } else { Err(ended()) }
    }

    /// Waits until the batch is written, and returns its changes; `None` if there was none.
    pub fn wait(&mut self) -> Result<Option<Changes>, Failure> {
        if !std::mem::take(&mut self.is_busy) {
            return Ok(None);
        }
        self.results.recv().map_err(|_| ended())?.map(Some)
    }
}

impl Drop for Writer {
    /// Waits for the batch that is being written: the next session begins with what the tables say then.
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ended() -> Failure {
    Failure::connection("the thread that writes into PostgreSQL has ended")
}

fn write(tables: &mut Tables, batch: Batch) -> Result<Changes, Failure> {
    let sql = |error: postgres::Error| failed(&error);
    let mut transaction = tables.client.transaction().map_err(sql)?;
    rows::write(&mut transaction, &batch.changes, &batch.reservations).map_err(sql)?;
    settings::write_quotas(&mut transaction, &batch.quotas).map_err(sql)?;
    if !feeds::advance(&mut transaction, &batch.advances).map_err(sql)? {
        return Err(Failure::connection(
            "another program has written into these tables: nothing was written, and the mirror reads them again",
        ));
    }
    for (feed, epoch, after, entries) in batch.gaps {
        feeds::add_gap(&mut transaction, feed, epoch, after, entries).map_err(sql)?;
    }
    transaction.commit().map_err(sql)?;
    Ok(batch.changes)
}

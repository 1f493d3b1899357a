//! The units in Redis or Valkey: every command of the shop.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use redis::{Cmd, Connection, RedisResult, Value, cmd};

use super::Failure;
use super::protocol::Reservation;

/// When an answer counts as given. An answer that is not confirmed counts as lost: the recovery job asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At once: what the server keeps depends on its `appendfsync` and its replicas.
    Server,
    /// After a replica has it: `WAIT 1`.
    Replica,
    /// After it is on the disk of the master and of a replica: `WAITAOF 1 1`.
    Disks,
}

/// An answer to a command on a reservation. Any other refusal is a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, now or before.
    Done,
    /// There are not enough units.
    Insufficient,
    /// The reservation is not in the state that the command needs. Look at it again.
    Otherwise,
}

/// How long the server may take to confirm an answer. With `appendfsync everysec`, WAITAOF takes a second or two.
const CONFIRMATION: Duration = Duration::from_secs(5);

/// How often a command is sent that is answered with TRYAGAIN.
const TRIES: u32 = 200;

/// Sells a reservation if it is not sold, and puts its units back, each sku once. The first line raises an error unless the
/// reservation is sold, so that nothing is put back that was not taken: the server may have lost the sale since it was seen.
const PUT_BACK: &str = "
redis.call('INV.COMMIT', KEYS[1])
for i = 1, #ARGV, 2 do
  redis.call('INV.ADJUST', ARGV[i], ARGV[i + 1], 'ONCE', 'put-back:' .. KEYS[1])
end
return 'OK'";

/// The key with the time until which the server has everything.
const MARK: &str = "shop:known-good";

/// Writes the mark, unless the data set is another one than when the connection was opened.
const WRITE_MARK: &str = "
local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
local server = info:match('run_id:(%w+)') .. '/' .. info:match('master_replid:(%w+)')
if server == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return server";

/// A connection to the stock server.
pub struct Stock {
    connection: Connection,
    durability: Durability,
    server: String,
}

impl Stock {
    /// Connects, for example to `redis://127.0.0.1:6379`.
    pub fn connect(address: &str, durability: Durability) -> Result<Self, Failure> {
        let mut connection = redis::Client::open(address)?.get_connection()?;
        let info: String = cmd("INFO").arg("server").arg("replication").query(&mut connection)?;
        let field = |name| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let fields = field("run_id").zip(field("master_replid")).ok_or("INFO has no run_id")?;
        Ok(Self { connection, durability, server: format!("{}/{}", fields.0, fields.1) })
    }

    /// Which server this is: a restart or a failover makes another one of it. It was read when the connection was opened, so what
    /// is answered comes from this server, or from one that the shop takes for an older one, which is safe.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Holds the units for so long.
    pub fn reserve(&mut self, id: &str, lines: &[(String, i64)], hold: Duration) -> Result<Answer, Failure> {
        let mut command = cmd("INV.RESERVE");
        command.arg(id).arg("PX").arg(millis(hold)).arg("ITEMS");
        for (sku, quantity) in lines {
            command.arg(sku).arg(quantity);
        }
        self.ask(&command)
    }

    /// Holds the units for so long from now.
    pub fn extend(&mut self, id: &str, hold: Duration) -> Result<Answer, Failure> {
        self.ask(cmd("INV.EXTEND").arg(id).arg("PX").arg(millis(hold)))
    }

    /// Sells the units before the deadline.
    pub fn commit(&mut self, id: &str) -> Result<Answer, Failure> {
        self.ask_and_confirm(cmd("INV.COMMIT").arg(id))
    }

    /// Sells the units after the deadline, if they are still there.
    pub fn commit_late(&mut self, id: &str) -> Result<Answer, Failure> {
        self.ask_and_confirm(cmd("INV.COMMIT").arg(id).arg("LATE"))
    }

    /// Returns the units, and keeps a RESERVE that is on its way from taking them.
    pub fn release(&mut self, id: &str) -> Result<Answer, Failure> {
        self.ask_and_confirm(cmd("INV.ROLLBACK").arg(id).arg("FENCE"))
    }

    /// Puts the units of a sold reservation back on sale.
    pub fn put_back(&mut self, id: &str, lines: &[(String, i64)]) -> Result<Answer, Failure> {
        let mut command = cmd("EVAL");
        command.arg(PUT_BACK).arg(1).arg(id);
        for (sku, quantity) in lines {
            command.arg(sku).arg(quantity);
        }
        self.ask_and_confirm(&command)
    }

    /// The state of a reservation. Unknown does not mean that there will be none.
    pub fn state(&mut self, id: &str) -> Result<Reservation, Failure> {
        let found: Option<HashMap<String, Value>> =
            self.answered(cmd("INV.GET").arg(id)).and_then(|found| Ok(redis::from_redis_value(found)?))?;
        let Some(found) = found else { return Ok(Reservation::Unknown) };
        let state: String = redis::from_redis_value(found.get("state").cloned().ok_or("no state")?)?;
        let known = Reservation::ALL.into_iter().find(|known| known.name() == state);
        known.ok_or_else(|| Failure::NeedsPerson(format!("reservation {id} is {state}")))
    }

    /// The time until which the server has everything that it has answered. None: it may have forgotten anything.
    pub fn known_good(&mut self) -> Result<Option<String>, Failure> {
        Ok(cmd("GET").arg(MARK).query(&mut self.connection)?)
    }

    /// Writes that time, which was read before. Returns false if this is not the same server any more.
    pub fn mark_known_good(&mut self, time: &str) -> Result<bool, Failure> {
        let mut command = cmd("EVAL");
        command.arg(WRITE_MARK).arg(1).arg(MARK).arg(&self.server).arg(time);
        let server: String = command.query(&mut self.connection)?;
        Ok(server == self.server)
    }

    fn ask(&mut self, command: &Cmd) -> Result<Answer, Failure> {
        let refusal = match self.answered(command) {
            Ok(_) => return Ok(Answer::Done),
            Err(refusal) => refusal,
        };
        match refusal.code() {
            Some("INSUFFICIENT") => Ok(Answer::Insufficient),
            Some("COMMITTED" | "ROLLEDBACK" | "EXPIRED" | "NOTFOUND") => Ok(Answer::Otherwise),
            Some("REPLACED" | "MISMATCH" | "DRIFT" | "FOREIGN" | "WRONGTYPE") => {
                Err(Failure::NeedsPerson(refusal.to_string()))
            }
            _ => Err(refusal.into()),
        }
    }

    fn ask_and_confirm(&mut self, command: &Cmd) -> Result<Answer, Failure> {
        let answer = self.ask(command)?;
        if answer == Answer::Done {
            self.confirm()?;
        }
        Ok(answer)
    }

    /// Waits until the answers so far are where they have to be.
    fn confirm(&mut self) -> Result<(), Failure> {
        let mut command = match self.durability {
            Durability::Server => return Ok(()),
            Durability::Replica => cmd("WAIT"),
            Durability::Disks => cmd("WAITAOF"),
        };
        // WAIT and WAITAOF wait for what this connection has written. A command that is repeated writes nothing, although what
        // the first one wrote may still be on its way: without a write of its own, WAIT would answer at once.
        cmd("PUBLISH").arg(MARK).arg("").exec(&mut self.connection)?;
        let is_confirmed = if self.durability == Durability::Replica {
            let replicas: i64 = command.arg(1).arg(millis(CONFIRMATION)).query(&mut self.connection)?;
            replicas >= 1
        } else {
            let disks: (i64, i64) =
                command.arg(1).arg(1).arg(millis(CONFIRMATION)).query(&mut self.connection)?;
            disks.0 >= 1 && disks.1 >= 1
        };
        if is_confirmed { Ok(()) } else { Err("the answer was not confirmed in time".into()) }
    }

    /// Repeats the command while it is answered with TRYAGAIN.
    fn answered(&mut self, command: &Cmd) -> RedisResult<Value> {
        let mut tries = 0;
        loop {
            match command.query(&mut self.connection) {
                Err(error) if error.code() == Some("TRYAGAIN") && tries < TRIES => {
                    tries += 1;
                    thread::sleep(Duration::from_millis(10));
                }
                answer => return answer,
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

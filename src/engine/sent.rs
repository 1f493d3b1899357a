//! The commands that the module sends to replicas and the AOF.
//!
//! The server looks up a command by its name. If a command has been renamed (`rename-command`), it would silently not
//! be sent. So the module checks at load that all these names exist.

use std::ffi::CStr;

macro_rules! sent {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// A command that is sent to replicas and AOF.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sent {
            $($(#[$doc])* $name,)*
        }

        impl Sent {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name of the command.
            pub const fn name(self) -> &'static CStr {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

sent!(
    /// The effects of a client's command.
    Apply = c"INV.APPLY",
    /// An alert, an outcome, or the mark of the database.
    Set = c"SET",
    /// Units that a deadline or the repair adds to available.
    Incrby = c"INCRBY",
    /// Units that a deadline or the repair takes from reserved.
    Decrby = c"DECRBY",
    /// A key that the module itself deletes.
    Del = c"DEL",
    /// An entry of the feed.
    Xadd = c"XADD",
    /// An alert, for the subscribers of replicas.
    Publish = c"PUBLISH",
);

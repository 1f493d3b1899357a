//! The scripts that shops commonly use, as files. docs/migrating-from-lua.md is about them.

/// Holds units.
pub const LUA_RESERVE: &str = include_str!("../lua/reserve.lua");

/// Sells held units.
pub const LUA_COMMIT: &str = include_str!("../lua/commit.lua");

/// Returns held units.
pub const LUA_ROLLBACK: &str = include_str!("../lua/rollback.lua");

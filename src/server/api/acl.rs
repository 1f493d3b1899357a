//! Users, their rights, and the categories of commands.

use std::ffi::{CStr, CString, c_int};
use std::io::{Error, ErrorKind};
use std::ptr::NonNull;

use redis_module::raw;

use super::ctx::Ctx;
use super::functions::OK;
use super::text::Text;

/// Who sent the command at hand.
pub enum Caller {
    /// The server itself, or a module in its name: it may do everything.
    Server,
    /// A user of the server.
    User(User),
    /// A user that the server does not know by name, so that nothing is known of its rights.
    Stranger,
}

impl Caller {
    /// Who sent the command of this context.
    pub fn of(ctx: Ctx<'_>) -> Self {
        if !has_user(ctx) {
            return Self::Server;
        }
        // SAFETY: the context is valid, and has a user: servers before Valkey 9.1 look at its name without asking.
        let name = unsafe { call!(RedisModule_GetCurrentUserName(ctx.raw())) };
        let Some(name) = NonNull::new(name).map(Text) else { return Self::Stranger };
        // SAFETY: the name is valid.
        let user = unsafe { call!(RedisModule_GetModuleUserFromUserName(name.as_ptr())) };
        NonNull::new(user).map_or(Self::Stranger, |user| Self::User(User(user)))
    }
}

/// Whether the command at hand comes from a user, whose rights the server has checked. What a module calls may have none.
fn has_user(ctx: Ctx<'_>) -> bool {
    // A command that nobody knows is not run, and nothing is logged of it. In the name of the user (C) it is looked for only
    // if there is one.
    // SAFETY: the context is valid; the format takes no arguments.
    let reply = unsafe { call!(RedisModule_Call(ctx.raw(), c"INV.NOBODY".as_ptr(), c"C".as_ptr())) };
    let reason = Error::last_os_error().kind();
    if reply.is_null() {
        return reason == ErrorKind::NotFound;
    }
    // SAFETY: the reply is ours, and freed here alone.
    unsafe { call!(RedisModule_FreeCallReply(reply)) };
    true
}

/// A user of the server. Its rights can change, and it can go, so it is not kept beyond a callback.
pub struct User(NonNull<raw::RedisModuleUser>);

impl User {
    /// Whether it may read a key of this name, by any of its rules.
    pub fn may_read(&self, name: &str) -> bool {
        let name = Text::new(name.as_bytes());
        let read = raw::REDISMODULE_CMD_KEY_ACCESS.cast_signed();
        // SAFETY: user and name are valid for the call.
        unsafe { call!(RedisModule_ACLCheckKeyPermissions(self.0.as_ptr(), name.as_ptr(), read)) == OK }
    }

    /// Whether it may send this command. On Valkey 9.1 a user who is confined to databases may not: the function knows of
    /// none.
    pub fn may_send(&self, words: &[&str]) -> bool {
        let words: Vec<Text> = words.iter().map(|word| Text::new(word.as_bytes())).collect();
        let mut pointers: Vec<_> = words.iter().map(Text::as_ptr).collect();
        let Ok(count) = c_int::try_from(pointers.len()) else { return false };
        // SAFETY: user and words are valid for the call, which only reads them.
        let status = unsafe {
            call!(RedisModule_ACLCheckCommandPermissions(self.0.as_ptr(), pointers.as_mut_ptr(), count))
        };
        status == OK
    }

    /// Whether it has selectors: rules beside its own, each with commands and keys that count only together.
    pub fn has_selectors(&self) -> bool {
        // SAFETY: the user is valid.
        let rules = unsafe { call!(RedisModule_GetModuleUserACLString(self.0.as_ptr())) };
        // No pattern holds a blank.
        NonNull::new(rules).map(Text).is_none_or(|rules| rules.bytes().windows(2).any(|pair| pair == b" ("))
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: made by the server for us, and freed here alone.
        unsafe { call!(RedisModule_FreeModuleUser(self.0.as_ptr())) };
    }
}

impl Ctx<'_> {
    /// Adds `@category` to the server's ACL categories, if the server can. One that is there already is as good.
    pub fn add_acl_category(self, category: &CStr) -> bool {
        // SAFETY: the table of functions is written once, before this, on this thread.
        match unsafe { raw::RedisModule_AddACLCategory } {
            None => false,
            Some(add) => {
                // SAFETY: context and name are valid for the call. It fails only if the category is there.
                let _ = unsafe { add(self.raw(), category.as_ptr()) };
                true
            }
        }
    }

    /// Puts a command into these ACL categories, in place of those that it is in: their names without the @, with blanks
    /// between them.
    pub fn set_acl_categories(self, command: &str, categories: &str) -> bool {
        let (Ok(command), Ok(categories)) = (CString::new(command), CString::new(categories)) else {
            return false;
        };
        // SAFETY: context and name are valid for the call.
        let command = unsafe { call!(RedisModule_GetCommand(self.raw(), command.as_ptr())) };
        if command.is_null() {
            return false;
        }
        // SAFETY: the command is one of this module; the names are valid for the call.
        let status = unsafe { call!(RedisModule_SetCommandACLCategories(command, categories.as_ptr())) };
        status == OK
    }
}

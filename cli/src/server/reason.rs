//! Why a request failed, in words that help.

use redis::{ErrorKind, RedisError};

use crate::failure::Failure;

/// The server's error word for word, otherwise the library's.
pub fn text(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

/// Whether the server, or the user by its ACL, refuses the login.
pub fn is_of_login(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::AuthenticationFailed)
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}

/// Whether the server does not have the command: the module is not loaded.
pub fn is_unknown_command(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("unknown command"))
}

/// Whether the user may not run the command at all, whatever its keys. Servers use this wording since ACLs distinguish keys from
/// commands.
pub fn is_of_command(error: &RedisError) -> bool {
    error.code() == Some("NOPERM")
        && error.detail().is_some_and(|detail| detail.contains("no permissions to run"))
}

/// What ends the command if this node answers with this error, or not at all.
pub fn failure(node: &str, error: &RedisError) -> Failure {
    let text = text(error);
    if is_of_login(error) {
        return Failure::refused(format!(
            "{node} rejects this user: {text}. Give user and password in INV_URL: redis://user:password@host:port"
        ));
    }
    if is_unknown_command(error) {
        return Failure::refused(format!("{node}: {text}. Is the module loaded? MODULE LIST shows it"));
    }
    match error.code() {
        Some("NOPERM") => Failure::refused(format!(
            "{node}: {text}. An administrator can allow it with ACL SETUSER; docs/inv.md lists what each subcommand needs"
        )),
        Some("READONLY") => {
            Failure::refused(format!("{node} is a replica: {text}. Use the URL of its master"))
        }
        Some("MOVED" | "ASK" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "LOADING" | "BUSY") => {
            Failure::connection(format!("{node} cannot answer now: {text}. Run the command again later"))
        }
        Some(_) => Failure::refused(format!("{node}: {text}")),
        None if error.is_timeout() => Failure::connection(format!(
            "{node} does not answer: {text}. The server may be busy; --timeout sets how long to wait"
        )),
        None => Failure::connection(format!("{node}: {text}")),
    }
}

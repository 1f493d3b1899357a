//! Connections to a real PostgreSQL, through its socket and with TLS.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use redis_inventory_cli::failure::Exit;
use redis_inventory_cli::sql::connect;

use crate::certificates::Authority;
use crate::harness::{LATER, wait_until};
use crate::postgres::Postgres;

const PATIENCE: Duration = Duration::from_secs(10);

/// Connects and returns whether the connection is encrypted, or why there is none.
fn encrypted(url: &str) -> Result<bool, String> {
    let mut client = connect(url, PATIENCE).map_err(|failure| {
        assert_eq!(failure.exit, Exit::Connection);
        failure.text
    })?;
    let row = client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]);
    Ok(row.expect("a row").get(0))
}

/// Gives the server a certificate for a host, and waits until it uses it.
fn certify(postgres: &Postgres, authority: &Authority, host: &str, address: &str) {
    let folder = postgres.folder();
    let owner = fs::metadata(folder).expect("a folder");
    for (from, to) in authority.sign("postgres", host).iter().zip(["cert.pem", "key.pem"]) {
        let to = folder.join(to);
        fs::copy(from, &to).expect("a file");
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("a file of ours");
        chown(&to, Some(owner.uid()), Some(owner.gid())).expect("a file of ours");
    }
    for setting in [
        format!("ssl_cert_file = '{}'", folder.join("cert.pem").display()),
        format!("ssl_key_file = '{}'", folder.join("key.pem").display()),
        "ssl = on".to_owned(),
    ] {
        postgres.ask(&format!("ALTER SYSTEM SET {setting}"));
    }
    postgres.ask("SELECT pg_reload_conf()");
    let url =
        format!("postgres://shop@{address}/postgres?sslmode=verify-full&sslrootcert={}", authority.path());
    wait_until("the certificate is used", LATER, || encrypted(&url).is_ok() == (host == address));
    wait_until("it is encrypted", LATER, || {
        encrypted(&format!("postgres://shop@{address}/postgres")) == Ok(true)
    });
}

#[test]
fn postgresql_is_reached_as_psql_reaches_it() {
    // Each test process has an address of its own, so that all can use the usual port.
    let number = std::process::id();
    let address = format!("127.{}.{}.7", number / 250 % 250 + 1, number % 250 + 1);
    let listen = format!("listen_addresses={address}");
    let postgres = Postgres::start(&["fsync=off", &listen]);
    let socket = |path: &Path| path.display().to_string().replace('/', "%2F");
    let by_socket = format!("postgres://shop@{}/postgres", socket(postgres.folder()));
    let at = |mode: &str| format!("postgres://shop@{address}/postgres?sslmode={mode}");
    let trusted =
        |mode: &str, authority: &Authority| format!("{}&sslrootcert={}", at(mode), authority.path());

    // Without TLS in the server.
    assert_eq!(encrypted(&by_socket), Ok(false));
    assert_eq!(encrypted(&format!("postgres://shop@{address}/postgres")), Ok(false));
    assert!(encrypted(&at("require")).is_err_and(|text| text.contains("server does not support TLS")));

    // A certificate for another host.
    let (authority, stranger) = (Authority::new(), Authority::new());
    certify(&postgres, &authority, "localhost", &address);
    for (url, expected) in [
        (by_socket.clone(), Some(false)),
        (at("disable"), Some(false)),
        (at("prefer"), Some(true)),
        (at("require"), Some(true)),
        (trusted("require", &authority), Some(true)),
        (trusted("verify-ca", &authority), Some(true)),
        (trusted("verify-full", &authority), None),
        (trusted("require", &stranger), None),
        (trusted("verify-ca", &stranger), None),
        (at("verify-full"), None),
    ] {
        assert_eq!(encrypted(&url).ok(), expected, "{url}");
    }

    // A certificate for this one.
    certify(&postgres, &authority, &address, &address);
    assert_eq!(encrypted(&trusted("verify-full", &authority)), Ok(true));
    assert!(encrypted(&trusted("verify-full", &stranger)).is_err());
}

#[test]
fn a_database_that_cannot_be_reached_is_named_without_its_password() {
    for (url, exit, expected) in [
        ("postgres://shop:secret@127.0.0.1:1/stock", Exit::Connection, "PostgreSQL at 127.0.0.1:1/stock: "),
        ("postgres://shop:secret@h/stock?sslmode=always", Exit::Usage, "sslmode=always"),
        (
            "postgres://shop:secret@h/stock?sslmode=verify-ca&sslrootcert=/none",
            Exit::Usage,
            "sslrootcert=/none: ",
        ),
        ("postgres://shop:secret@h:x/stock", Exit::Usage, "the URL of the database cannot be used: "),
        ("host=h password=secret", Exit::Usage, "the database needs a URL"),
    ] {
        let failure = connect(url, PATIENCE).err().expect(url);
        assert_eq!(failure.exit, exit, "{failure}");
        assert!(failure.text.contains(expected) && !failure.text.contains("secret"), "{failure}");
    }
}

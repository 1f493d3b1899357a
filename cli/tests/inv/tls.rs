//! TLS, with certificates that the test makes.

use crate::certificates::Authority;
use crate::harness::{Server, free_port};
use crate::{Done, plain_command};

/// Debian's servers support TLS; some others were built without.
fn supports_tls() -> bool {
    let setting = Server::start().connect().ask("CONFIG GET tls-port");
    setting.get("tls-port").is_some()
}

#[test]
fn a_server_is_reached_by_tls_if_its_certificate_is_trusted_and_clients_can_show_theirs() {
    if !supports_tls() {
        eprintln!("this server was built without TLS: nothing was tested");
        return;
    }
    let authority = Authority::new();
    let [cert, key] = authority.sign("server", "localhost").map(|path| path.display().to_string());
    let port = free_port();
    let lines = [
        format!("tls-port {port}"),
        format!("tls-cert-file {cert}"),
        format!("tls-key-file {key}"),
        format!("tls-ca-cert-file {}", authority.path()),
        "tls-auth-clients optional".to_owned(),
    ];
    let server = Server::start_with(&lines.each_ref().map(String::as_str));
    server.connect().ask("INV.SET A AVAILABLE 5");
    let run =
        |url: &str, words: &[&str]| Done::of(plain_command(&["export"]).args(words).env("INV_URL", url), "");
    let ca = authority.path();
    let [cert, key] = authority.sign("client", "clerk").map(|path| path.display().to_string());
    let url = format!("rediss://localhost:{port}");

    let text = run(&url, &["--cacert", &ca]).fine();
    assert!(text.ends_with("\nA,5,0,,,,\n"), "{text}");
    let trusting =
        plain_command(&["export"]).env("INV_URL", &url).env("SSL_CERT_FILE", &ca).output().expect("inv");
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stderr));
    run(&format!("{url}#insecure"), &[]).fine();

    // The authority is unknown, or the name is another one.
    for (url, words) in [(&url, &[][..]), (&format!("rediss://127.0.0.1:{port}"), &["--cacert", &ca])] {
        let done = run(url, words);
        assert_eq!(done.code, Some(3), "{done:?}");
        assert!(done.err.contains("certificate"), "{}", done.err);
    }

    // The server asks for a certificate of the client.
    server.connect().ask("CONFIG SET tls-auth-clients yes");
    let done = run(&url, &["--cacert", &ca]);
    assert_eq!(done.code, Some(3), "{done:?}");
    run(&url, &["--cacert", &ca, "--cert", &cert, "--key", &key]).fine();

    // What cannot be meant.
    let done = run(&format!("redis://localhost:{port}"), &["--cacert", &ca]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("need a URL that begins with rediss://"), "{}", done.err);
    let done = run(&url, &["--cacert", "/nonexistent.pem"]);
    assert_eq!(done.code, Some(2));
    let done = run(&url, &["--cacert", &ca, "--cert", &cert]);
    assert_eq!(done.code, Some(2));
}

//! Connections to PostgreSQL.
//!
//! `sslmode` in the URL means what it means to psql: `disable`, `prefer` (the default) and `require` encrypt without looking at
//! the certificate, unless `sslrootcert` names an authority; `verify-ca` checks the certificate, `verify-full` the host's name as
//! well.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use postgres::config::{Host, SslMode};
use postgres::{Client, Config};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::failure::Failure;

/// Connects to `postgres://user[:password]@host[:port]/database[?sslmode=…&sslrootcert=FILE]`.
pub fn connect(url: &str, patience: Duration) -> Result<Client, Failure> {
    let url = Url::parse(url)?;
    let mut config = url.config;
    config.connect_timeout(patience);
    if config.get_application_name().is_none() {
        config.application_name("inv");
    }
    // As in libpq, a socket of this machine is not encrypted.
    if config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_))) {
        config.ssl_mode(SslMode::Disable);
    }
    let tls = MakeRustlsConnect::new(client_config(url.trust)?);
    config.connect(tls).map_err(|error| {
        let name = name(&config);
        // Its source says what the system or the server answered.
        let reason = std::error::Error::source(&error)
            .map_or(error.to_string(), |source| format!("{error}: {source}"));
        Failure::connection(format!("PostgreSQL at {name}: {reason}"))
    })
}

/// How the database is named in texts: without user and password.
fn name(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "no host".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("{host}:{port}/{}", config.get_dbname().unwrap_or_default())
}

/// What is checked of the server's certificate.
enum Trust {
    /// Nothing.
    Anything,
    /// An authority has signed it.
    Chain(RootCertStore),
    /// The same, and it is for this host.
    Name(RootCertStore),
}

/// A URL, without what the library does not know.
struct Url {
    config: Config,
    trust: Trust,
}

impl Url {
    fn parse(url: &str) -> Result<Self, Failure> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(Failure::usage(
                "the database needs a URL: postgres://user[:password]@host[:port]/database",
            ));
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut authority, mut others) = ("prefer", None, Vec::new());
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", value)) => authority = Some(value),
                _ => others.push(part),
            }
        }
        let ssl_mode = match mode {
            "disable" => SslMode::Disable,
            "allow" | "prefer" => SslMode::Prefer,
            "require" | "verify-ca" | "verify-full" => SslMode::Require,
            mode => {
                return Err(Failure::usage(format!(
                    "sslmode={mode} in the URL of the database: use disable, prefer, require, verify-ca or verify-full"
                )));
            }
        };
        let trust = match (mode, authority) {
            ("verify-full", authority) => Trust::Name(roots(authority)?),
            ("verify-ca", authority) | (_, authority @ Some(_)) => Trust::Chain(roots(authority)?),
            _ => Trust::Anything,
        };
        // The library's error does not repeat the URL, which may contain a password.
        let mut config: Config = format!("{place}?{}", others.join("&"))
            .parse()
            .map_err(|error| Failure::usage(format!("the URL of the database cannot be used: {error}")))?;
        config.ssl_mode(ssl_mode);
        Ok(Self { config, trust })
    }
}

/// The authorities of a file, or those that the system trusts.
fn roots(file: Option<&str>) -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    let Some(file) = file else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("sslrootcert={file}: {error}"));
    let text = fs::read(file).map_err(|error| wrong(&error))?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        store.add(certificate).map_err(|error| wrong(&error))?;
    }
    Ok(store)
}

fn client_config(trust: Trust) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let chain = match trust {
        Trust::Name(roots) => return Ok(builder.with_root_certificates(roots).with_no_client_auth()),
        Trust::Anything => None,
        Trust::Chain(roots) => Some(
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| Failure::usage(format!("sslrootcert: {error}")))?,
        ),
    };
    let verifier = Arc::new(Verifier { chain, provider });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Checks less of a certificate than rustls does by itself.
#[derive(Debug)]
struct Verifier {
    /// `None` accepts every certificate.
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The chain has been verified before the name.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

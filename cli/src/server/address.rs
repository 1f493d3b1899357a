//! Where a server is and how to log in there, from the options and the environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::{
    Client, ClientTlsConfig, Connection, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult,
    TlsCertificates,
};

use crate::failure::Failure;
use crate::server::reason;

/// The server if none is named.
const DEFAULT: &str = "redis://127.0.0.1:6379";

/// The options that name a server.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Options {
    /// redis://[user[:password]@]host[:port][/database]; rediss:// for TLS, unix:///path for a socket.
    ///
    /// Of a cluster, name any node: the others are found. ?protocol=resp3 selects RESP3. A password is safer in INV_URL than in
    /// the command line, where other users of the machine can see it. [default: redis://127.0.0.1:6379]
    #[arg(long, global = true, env = "INV_URL", hide_env_values = true, value_name = "URL")]
    pub url: Option<String>,

    /// The certificate authority of the server, in PEM format, instead of those that the system trusts.
    #[arg(long, global = true, value_name = "FILE")]
    pub cacert: Option<PathBuf>,

    /// The certificate with which to log in, in PEM format.
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// The private key of that certificate.
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,

    /// How many seconds to wait for a connection or an answer.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: Option<u64>,
}

/// The longest time to wait for an answer, unless --timeout says otherwise.
const PATIENCE: u64 = 10;

impl Options {
    /// The address of the server, if the options are valid.
    pub fn address(&self) -> Result<Address, Failure> {
        let url = self.url.as_deref().filter(|url| !url.is_empty()).unwrap_or(DEFAULT);
        // The URL is not repeated: it may contain a password.
        let info = url.into_connection_info().map_err(|error| {
            let reason = reason::text(&error);
            Failure::usage(format!(
                "the URL cannot be used: {reason}. Write redis://[user[:password]@]host[:port][/database], with %40 for an @ in \
                 the password"
            ))
        })?;
        let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let has_certificates = self.cacert.is_some() || self.cert.is_some();
        if has_certificates && !is_tls {
            return Err(Failure::usage("--cacert, --cert and --key need a URL that begins with rediss://"));
        }
        let client_tls = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? })
            }
            _ => None,
        };
        let root_cert = self.cacert.as_deref().map(read).transpose()?;
        let certificates = has_certificates.then_some(TlsCertificates { client_tls, root_cert });
        let patience = Duration::from_secs(self.timeout.unwrap_or(PATIENCE));
        let address = Address { info, certificates, patience };
        // Wrong certificates are noticed before anything is sent.
        address.client().map_err(|error| Failure::usage(reason::text(&error)))?;
        Ok(address)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))
}

/// A server, and how to log in there.
#[derive(Clone, Debug)]
pub struct Address {
    info: ConnectionInfo,
    certificates: Option<TlsCertificates>,
    patience: Duration,
}

impl Address {
    /// How the server is named in texts: without user and password.
    pub fn name(&self) -> String {
        match self.info.redis_settings().db() {
            0 => self.info.addr().to_string(),
            database => format!("{}/{database}", self.info.addr()),
        }
    }

    /// The same with the user, for a screen.
    pub fn login(&self) -> String {
        let user = self.info.redis_settings().username().map(|user| format!("{user}@"));
        user.unwrap_or_default() + &self.name()
    }

    /// The host, if it is not a socket.
    pub fn host(&self) -> Option<&str> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => Some(host),
            _ => None,
        }
    }

    /// The same login on another node of the cluster.
    pub fn at(&self, host: &str, port: u16) -> Self {
        let host = host.to_owned();
        let place = match self.info.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        Self { info: self.info.clone().set_addr(place), ..self.clone() }
    }

    /// How long to wait for an answer.
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Connects and logs in.
    pub fn connect(&self) -> RedisResult<Connection> {
        let connection = self.client()?.get_connection_with_timeout(self.patience)?;
        connection.set_read_timeout(Some(self.patience))?;
        connection.set_write_timeout(Some(self.patience))?;
        Ok(connection)
    }

    /// A client of the library, for programs that make many connections.
    pub fn client(&self) -> RedisResult<Client> {
        match &self.certificates {
            Some(certificates) => Client::build_with_tls(self.info.clone(), certificates.clone()),
            None => Client::open(self.info.clone()),
        }
    }
}

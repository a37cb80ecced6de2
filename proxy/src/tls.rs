//! TLS for the listener and for each side: from PEM files to rustls configurations.
//!
//! Nothing here is process-wide: every configuration names its crypto provider. A side is trusted through the CA file
//! given for it and through nothing else.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::endpoint::Endpoint;

/// The certificates of one PEM file, at least one.
pub(crate) type Certificates = Vec<CertificateDer<'static>>;

/// Why a TLS configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The file cannot be read, or holds something that is not PEM.
    #[error("cannot be read: {0}")]
    Pem(#[from] pem::Error),
    /// The file is fine but empty of certificates.
    #[error("holds no certificate")]
    NoCertificate,
    /// A certificate of a CA file cannot be trusted, or a key does not belong to its certificate.
    #[error("{0}")]
    Rejected(#[from] rustls::Error),
    /// The CA file cannot check clients.
    #[error("cannot check client certificates: {0}")]
    ClientCa(#[from] rustls::server::VerifierBuilderError),
    /// The host cannot be in a certificate.
    #[error("has a host that no certificate can name")]
    Host,
}

/// What a lane needs to speak TLS to its side.
#[derive(Clone, Debug)]
pub(crate) struct SideTls {
    /// Trusts the side's CA file only.
    pub(crate) config: Arc<ClientConfig>,
    /// The name that the side's certificate has to carry.
    pub(crate) name: ServerName<'static>,
}

/// Reads every certificate of a PEM file.
///
/// # Errors
/// [`TlsError::Pem`] and [`TlsError::NoCertificate`].
pub(crate) fn read_certificates(path: &Path) -> Result<Certificates, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() { Err(TlsError::NoCertificate) } else { Ok(certificates) }
}

/// Reads the first private key of a PEM file.
///
/// # Errors
/// [`TlsError::Pem`].
pub(crate) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    Ok(PrivateKeyDer::from_pem_file(path)?)
}

/// The listener's configuration: its certificate chain (leaf first) with its key, and with `client_ca` only clients
/// whose certificate that CA has signed.
///
/// # Errors
/// [`TlsError::Rejected`] for a key of another certificate, and [`TlsError::ClientCa`].
pub(crate) fn listener(
    chain: Certificates,
    key: PrivateKeyDer<'static>,
    client_ca: Option<Certificates>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match client_ca {
        Some(ca) => builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(roots(ca)?, provider()).build()?),
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(builder.with_single_cert(chain, key)?))
}

/// The configuration of a lane to `endpoint`, trusting `ca` only.
///
/// # Errors
/// [`TlsError::Rejected`] for a CA that cannot be trusted, and [`TlsError::Host`].
pub(crate) fn side(ca: Certificates, endpoint: &Endpoint) -> Result<SideTls, TlsError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| TlsError::Host)?;
    Ok(SideTls { config: Arc::new(config), name })
}

fn roots(ca: Certificates) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in ca {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

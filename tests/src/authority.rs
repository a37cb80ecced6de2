//! A certificate authority of a test's own.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// A certificate authority, and the PEM files of what it has signed. They are gone when it is dropped.
#[derive(Debug)]
pub struct CertificateAuthority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl CertificateAuthority {
    /// An authority with a new key.
    ///
    /// # Panics
    ///
    /// If the system gives no randomness or no temporary folder.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut params = CertificateParams::default();
        // Other implementations take a leaf with its issuer's name for one that has signed itself.
        params.distinguished_name.push(DnType::CommonName, "a test's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { folder, issuer }
    }

    /// Its own certificate.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Signs a certificate for `localhost` and 127.0.0.1: the files of the certificate and of its key.
    ///
    /// # Panics
    ///
    /// If the files cannot be written.
    #[must_use]
    pub fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (self.file(name, "pem", &certificate.pem()), self.file(name, "key", &key.serialize_pem()))
    }

    fn file(&self, name: &str, extension: &str, text: &str) -> PathBuf {
        let path = Path::new(name).with_extension(extension);
        let path = self.folder.path().join(path);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

impl Default for CertificateAuthority {
    fn default() -> Self {
        Self::new()
    }
}

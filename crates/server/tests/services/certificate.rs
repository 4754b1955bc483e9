//! A certificate of the test's own for `localhost`, which nobody trusts who is not told to.

use std::process::Command;

/// A key and a certificate in files.
pub(crate) struct Certificate(tempfile::TempDir);

impl Certificate {
    pub(crate) fn new() -> Self {
        let certificate = Self(tempfile::tempdir().expect("a folder"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &certificate.key(), "-out", &certificate.chain()])
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        certificate
    }

    /// The file with the key.
    pub(crate) fn key(&self) -> String {
        self.path("key.pem")
    }

    /// The file with the certificate.
    pub(crate) fn chain(&self) -> String {
        self.path("cert.pem")
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("text").to_owned()
    }
}

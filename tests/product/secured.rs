//! Servers that are reached by TLS only, and ask who one is.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::{
    database::Server as Database,
    follow::{Secret, Server, documents, follow, with_archive},
    postgres,
    support::{Workspace, run},
};

/// Files of a certificate.
pub const AUTHORITY: &str = "authority.pem";
pub const CHAIN: &str = "tls.crt";
pub const KEY: &str = "tls.key";

/// A certificate of `127.0.0.1` and `localhost`, in PEM, of an authority that nobody else knows.
pub struct Certificate {
    pub authority: String,
    pub chain: String,
    pub key: String,
}

impl Certificate {
    pub fn new() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        Self { authority: authority.pem(), chain: own.pem(), key: key.serialize_pem() }
    }

    pub fn write(&self, folder: &Path) {
        for (name, text) in [(AUTHORITY, &self.authority), (CHAIN, &self.chain), (KEY, &self.key)] {
            fs::write(folder.join(name), text).unwrap();
        }
    }
}

const WORD: &str = "no-word-of-a-book";

#[test]
fn a_stream_is_followed_by_tls_by_whoever_may() {
    let secret = Secret { certificate: Certificate::new(), user: "mesh", password: WORD };
    let server = Server::start_with(Some(secret));
    let workspace = with_archive(3);
    server.stream("MAIL", "mail");
    server.stream("TOLD", "told");
    server.publish("mail", &documents(3, 40));
    let url = |who: &str, path: &str| format!("tls://{who}127.0.0.1:{}/{path}", server.port);
    let followed = |who: &str, trusted: bool| {
        let ends = ["--from", &url(who, "MAIL"), "--to", &url(who, "told")];
        let mut command = follow(&workspace, &ends);
        command.args(["--project", "reviews", "--until-idle", "400ms", "--json"]);
        if trusted {
            command.env("SSL_CERT_FILE", server.authority());
        }
        let ran = run(&mut command);
        assert!(!format!("{}{}", ran.out, ran.err).contains(WORD), "a password is shown");
        ran
    };
    let may = format!("mesh:{WORD}@");
    followed(&may, false).code(1).tells(["certificate of tls:", "SSL_CERT_FILE"]);
    followed("", true).code(1).tells(["does not let us in", "user:password@"]);
    followed("mesh:other@", true).code(1).tells(["does not let us in", "user:password@"]);
    let report: Value = serde_json::from_str(&followed(&may, true).ok().out).unwrap();
    assert_eq!((&report["documents"], &report["published"]), (&json!(40), &json!(40)), "{report}");
}

#[test]
fn a_table_is_enriched_by_tls() {
    let certificate = Certificate::new();
    let (server, workspace) = postgres::with_table_of(Database::start_secured(&certificate), 60);
    certificate.write(&workspace.path("."));
    let address = |more: &str| {
        let url = format!("{}&{more}", server.url("public.mail"));
        let manifest = format!("[archive]\nname = \"mail\"\nurl = \"{url}\"\nkey = \"id\"\n");
        workspace.write("archives/mail.toml", manifest);
    };
    let run = |workspace: &Workspace| {
        run(&mut server.with(workspace, ["backfill", "run", "mail", "reviews", "--json"]))
    };
    address("sslmode=disable");
    run(&workspace).code(1).tells(["sslmode"]);
    address("sslmode=verify-full");
    run(&workspace).code(1).tells(["certificate of the server", "sslrootcert=FILE"]);
    let authority = workspace.path(AUTHORITY);
    address(&format!("sslmode=verify-full&sslrootcert={}", authority.display()));
    run(&workspace).ok();
    let seen = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(server.sql(seen), "t", "nobody else gets in either");
}

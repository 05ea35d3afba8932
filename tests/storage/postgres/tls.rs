//! TLS to the database, each mode against a server whose certificate is right, of another authority, or of another name.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sparekey::storage::Storage as _;
use sparekey::storage::postgres::{ConnectionUrl, Options, Postgres};

use crate::postgres_server::{Server, USER};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }
    fn pem(&self) -> String {
        self.0.pem()
    }
    /// Certificate and key for a name.
    fn certificate(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mode_asks_for_what_its_name_says() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (cert, key) = ours.certificate("localhost");
    let mut server = Server::new();
    server.write("server.crt", cert.as_bytes());
    server.write("server.key", key.as_bytes());
    server.write("ca.crt", ours.pem().as_bytes());
    let hba = format!(
        "local all all trust\nhostnossl all {USER} 127.0.0.1/32 trust\nhostssl all pass 127.0.0.1/32 scram-sha-256\n\
         hostssl all {USER} 127.0.0.1/32 trust clientcert=verify-full\n"
    );
    server.write("data/pg_hba.conf", hba.as_bytes());
    let file = |name: &str| server.folder().join(name).display().to_string();
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", file("server.crt")),
        format!("ssl_key_file={}", file("server.key")),
        format!("ssl_ca_file={}", file("ca.crt")),
    ];
    server.start(&settings.each_ref().map(String::as_str));
    server.sql("CREATE ROLE pass LOGIN SUPERUSER PASSWORD 'hunter2'");

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (client_cert, client_key) = ours.certificate(USER);
    let good = format!(
        "sslrootcert={}&sslcert={}&sslkey={}",
        write("ours.pem", &ours.pem()),
        write("client.pem", &client_cert),
        write("client.key", &client_key)
    );
    let other_root = write("other.pem", &other.pem());
    let root = format!("sslrootcert={}", folder.path().join("ours.pem").display());
    let port = server.port();
    let opened = async |user: &str, host: &str, more: &str| {
        let url = format!("postgres://{user}@{host}:{port}/postgres?{more}");
        let options = Options::new(ConnectionUrl::new(url.into()));
        Postgres::open(&options).await.map_err(|error| error.to_string())
    };
    let certificate = |found: Result<Postgres, String>, what: &str| {
        let error = found.map(drop).unwrap_err();
        assert!(error.contains(what), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    };

    // A client certificate of the right name is what the server asks of this user.
    opened(USER, "localhost", &good).await.unwrap();
    opened(USER, "localhost", &format!("{good}&sslmode=verify-full&sslnegotiation=postgres")).await.unwrap();
    certificate(opened(USER, "localhost", &root).await, "certificate");
    // By its address the server has no name in its certificate.
    certificate(opened(USER, "127.0.0.1", &good).await, "not valid for name");
    opened(USER, "127.0.0.1", &format!("{good}&sslmode=verify-ca")).await.unwrap();
    opened(USER, "127.0.0.1", &format!("{good}&sslmode=require")).await.unwrap();
    // Another authority.
    let foreign = good.replace("ours.pem", "other.pem");
    assert!(foreign.contains(&other_root));
    for mode in ["verify-full", "verify-ca", "require"] {
        certificate(opened(USER, "localhost", &format!("{foreign}&sslmode={mode}")).await, "certificate");
    }
    // This machine's authorities know nothing of it.
    certificate(opened("pass:hunter2", "localhost", "").await, "certificate");

    // A password, bound to the channel, and never repeated.
    opened("pass:hunter2", "localhost", &root).await.unwrap();
    opened("pass:hunter2", "localhost", &format!("{root}&channel_binding=require")).await.unwrap();
    opened("pass:hunter2", "127.0.0.1", "sslmode=require").await.unwrap();
    certificate(opened("pass:hunter2hunter2", "localhost", &root).await, "password authentication failed");
    certificate(opened("pass", "localhost", &root).await, "password");
    // Without TLS the server has no entry for this user.
    certificate(opened("pass:hunter2", "localhost", "sslmode=disable").await, "no pg_hba.conf entry");
    let store = opened(USER, "localhost", "sslmode=disable").await.unwrap();
    assert!(store.lines().is_some());
}

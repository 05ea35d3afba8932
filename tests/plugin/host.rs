//! A host for one plugin process: starts it as a vault does, over TLS with certificates of its own, with a storage in memory.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};
use sparekey::plugin::proto::pb::backend_client::BackendClient;
use sparekey::plugin::proto::pb::{self, HandleRequestArgs, HandleRequestReply, InitializeArgs, SetupArgs};
use sparekey::plugin::proto::plugin::ConnInfo;
use sparekey::plugin::proto::plugin::grpc_broker_client::GrpcBrokerClient;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::fake_host::FakeHost;
use crate::support::corpus::request_of;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running plugin process; ended when dropped.
pub struct Plugin {
    child: Child,
    /// To the process: what it serves.
    pub channel: Channel,
    announcements: mpsc::Sender<ConnInfo>,
    server: TlsAcceptor,
    dir: TempDir,
    mounts: u32,
    _out: BufReader<ChildStdout>,
}

/// A mount in it.
pub struct Mount {
    client: BackendClient<Channel>,
    id: String,
}

impl Plugin {
    /// Starts `binary` and connects to it.
    pub async fn start(binary: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).expect("a key");
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let log = std::fs::File::create(dir.path().join("stderr")).expect("a file");
        let mut child = Command::new(binary)
            .env_clear()
            .env("VAULT_BACKEND_PLUGIN", "6669da05-b1c8-4f49-97d9-c8e5bed98e20")
            .env("PLUGIN_PROTOCOL_VERSIONS", "5")
            .env("PLUGIN_CLIENT_CERT", certificate.pem())
            .env("PLUGIN_UNIX_SOCKET_DIR", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, out.read_line(&mut line)).await.expect("in time").expect("a line");
        let parts: Vec<&str> = line.trim_end().split('|').collect();
        assert_eq!((parts[..3].join("|"), parts[4]), ("1|5|unix".to_owned(), "grpc"), "{line}");
        let theirs = CertificateDer::from(STANDARD_NO_PAD.decode(parts[5]).expect("base64"));
        let (client, server) = tls(certificate.der(), &key, theirs);

        let (socket, client) = (parts[3].to_owned(), TlsConnector::from(Arc::new(client)));
        let connector = tower::service_fn(move |_| {
            let (socket, client) = (socket.clone(), client.clone());
            async move {
                let stream = UnixStream::connect(socket).await?;
                let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
                Ok::<_, std::io::Error>(TokioIo::new(client.connect(name, stream).await?))
            }
        });
        let endpoint = Endpoint::from_static("http://localhost").timeout(PATIENCE);
        let channel = endpoint.connect_with_connector(connector).await.expect("a connection");
        let (announcements, stream) = mpsc::channel(16);
        let mut broker = GrpcBrokerClient::new(channel.clone());
        let stream = ReceiverStream::new(stream);
        tokio::spawn(async move {
            // As long as this goes on the process does.
            if let Ok(answers) = broker.start_stream(stream).await {
                let mut answers = answers.into_inner();
                while let Ok(Some(_)) = answers.message().await {}
            }
        });
        let server = TlsAcceptor::from(Arc::new(server));
        Plugin { child, channel, announcements, server, dir, mounts: 0, _out: out }
    }
    /// Sets a mount up on this storage.
    pub async fn mount(&mut self, storage: &Arc<FakeHost>) -> Mount {
        self.mounts += 1;
        let address = self.dir.path().join(format!("host{}", self.mounts));
        let listener = UnixListener::bind(&address).expect("a socket");
        let (server, storage) = (self.server.clone(), storage.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = server.accept(stream).await else { continue };
                let (ours, mut theirs) = tokio::io::duplex(1 << 20);
                storage.serve(ours);
                tokio::spawn(async move { copy_bidirectional(&mut stream, &mut theirs).await });
            }
        });
        let address = address.display().to_string();
        let info = ConnInfo { service_id: self.mounts, network: "unix".into(), address, knock: None };
        self.announcements.send(info).await.expect("it listens");
        let client = BackendClient::new(self.channel.clone()).max_decoding_message_size(64 << 20);
        let mount = Mount { client, id: format!("mount{:05}", self.mounts) };
        let args = SetupArgs { broker_id: self.mounts, backend_uuid: mount.id.clone(), ..SetupArgs::default() };
        let reply = mount.client.clone().setup(mount.named(args)).await.expect("an answer").into_inner();
        assert_eq!(reply.err, "");
        mount.client.clone().initialize(mount.named(InitializeArgs {})).await.expect("an answer");
        mount
    }
    /// What it said on standard error.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }
    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
    /// Memory that is its own, in bytes.
    pub fn memory(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

/// What the host shows and whom it trusts, as client and as server.
fn tls(
    own: &CertificateDer<'static>,
    key: &rcgen::KeyPair,
    theirs: CertificateDer<'static>,
) -> (ClientConfig, ServerConfig) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = || PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS #8");
    let mut trusted = RootCertStore::empty();
    trusted.add(theirs).expect("a certificate");
    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(trusted)
        .with_client_auth_cert(vec![own.clone()], key())
        .expect("a key");
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.clone()], key())
        .expect("a key");
    client.alpn_protocols = vec![b"h2".to_vec()];
    server.alpn_protocols = vec![b"h2".to_vec()];
    (client, server)
}

impl Mount {
    /// A message that names the mount.
    pub fn named<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("multiplex_id", self.id.parse().expect("ASCII"));
        request
    }
    /// The answer to a request.
    pub async fn handle(&self, request: pb::Request) -> Result<HandleRequestReply, Status> {
        let args = HandleRequestArgs { storage_id: 0, request: Some(request) };
        self.client.clone().handle_request(self.named(args)).await.map(tonic::Response::into_inner)
    }
    /// `data` of the answer to a request that must succeed.
    #[track_caller]
    pub fn ask(&self, operation: &str, path: &str, data: Value) -> impl Future<Output = Value> {
        let (request, what) = (request_of(operation, path, &data), format!("{operation} {path}"));
        async move {
            let reply = self.handle(request).await.unwrap_or_else(|status| panic!("{what}: {status}"));
            assert!(
                reply.err.is_none(),
                "{what}: {:?} {}",
                reply.err,
                reply.response.map_or(String::new(), |r| r.data)
            );
            reply.response.map_or(json!(null), |response| serde_json::from_str(&response.data).expect("JSON"))
        }
    }
    /// The sentence of the answer to a request that must be refused.
    pub async fn refused(&self, operation: &str, path: &str, data: Value) -> String {
        let reply = self.handle(request_of(operation, path, &data)).await.expect("an answer");
        assert!(reply.err.is_some(), "{operation} {path} succeeds");
        let shown = reply.response.map_or(json!(null), |response| serde_json::from_str(&response.data).expect("JSON"));
        shown["error"].as_str().unwrap_or_default().to_owned()
    }
}

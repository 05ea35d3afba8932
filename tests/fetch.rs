//! The real fetcher against servers on this machine: what it reads, and what it does not follow, trust or wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sparekey::auth::fetch::{Fetch, HttpsFetch, MAX_BODY};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers every connection with these bytes; says where, and counts.
async fn serve(answer: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (format!("http://{address}/keys"), count)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend(body);
    bytes
}

#[tokio::test]
async fn a_200_is_read_and_nothing_else() {
    let (url, _) = serve(answer("200 OK", "", b"{}")).await;
    assert_eq!(HttpsFetch::default().get(&url, None).await, Ok(b"{}".to_vec()));
    for status in ["404 Not Found", "500 Internal Server Error", "204 No Content", "206 Partial Content"] {
        let (url, _) = serve(answer(status, "", b"{}")).await;
        assert!(HttpsFetch::default().get(&url, None).await.unwrap_err().contains(&status[..3]), "{status}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (target, visits) = serve(answer("200 OK", "", b"{}")).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let (url, _) = serve(answer(status, &format!("Location: {target}\r\n"), b"")).await;
        assert!(HttpsFetch::default().get(&url, None).await.is_err(), "{status}");
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_large_answer_is_not_read() {
    let (url, _) = serve(answer("200 OK", "", &vec![b' '; MAX_BODY])).await;
    assert_eq!(HttpsFetch::default().get(&url, None).await.unwrap().len(), MAX_BODY);
    let (url, _) = serve(answer("200 OK", "", &vec![b' '; MAX_BODY + 1])).await;
    assert!(HttpsFetch::default().get(&url, None).await.is_err());
    let mut endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..=MAX_BODY / 4096 {
        endless.extend(b"1000\r\n");
        endless.extend(vec![b' '; 4096]);
        endless.extend(b"\r\n");
    }
    let (url, _) = serve(endless).await;
    assert!(HttpsFetch::default().get(&url, None).await.is_err());
}

#[tokio::test]
async fn a_silent_server_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let held = tokio::spawn(async move { listener.accept().await });
    let hasty = HttpsFetch::with_time_limit(Duration::from_millis(50));
    assert_eq!(hasty.get(&url, None).await, Err("it took too long".into()));
    drop(held);
}

#[tokio::test]
async fn http_stays_on_this_machine() {
    for url in ["http://192.0.2.1/keys", "http://idp.example.com/keys", "ftp://127.0.0.1/keys", "keys", ""] {
        assert!(HttpsFetch::default().get(url, None).await.is_err(), "{url}");
    }
}

/// An authority of its own and a server that it vouches for under `name`.
async fn serve_tls(name: &str) -> (String, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &rcgen::Issuer::new(ca, ca_key))
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer("200 OK", "", b"{}")).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (format!("https://localhost:{port}/keys"), ca_pem)
}

#[tokio::test]
async fn the_configured_authority_is_trusted_and_no_other() {
    let (url, ca_pem) = serve_tls("localhost").await;
    assert_eq!(HttpsFetch::default().get(&url, Some(&ca_pem)).await, Ok(b"{}".to_vec()));
    assert!(HttpsFetch::default().get(&url, None).await.is_err(), "the public authorities do not know it");
    let (_, other) = serve_tls("localhost").await;
    assert!(HttpsFetch::default().get(&url, Some(&other)).await.is_err());
    let (url, ca_pem) = serve_tls("idp.example.com").await;
    assert!(HttpsFetch::default().get(&url, Some(&ca_pem)).await.is_err(), "the name must be right");
}

//! An address that keeps anchors: one PUT for each, one GET to read the last one back. Nothing is followed.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::anchor::MAX_BYTES;
use super::place::PATIENCE;
use crate::auth::fetch;
use crate::error::chain;

/// Puts `text` at `url`.
pub async fn put(url: &str, ca_pem: Option<&str>, text: &[u8]) -> io::Result<()> {
    match send(Method::PUT, url, ca_pem, Bytes::copy_from_slice(text)).await? {
        (status, _) if status.is_success() => Ok(()),
        (status, _) => Err(io::Error::other(format!("the answer was {status}"))),
    }
}

/// What lies at `url`; `None` for 404.
pub async fn get(url: &str, ca_pem: Option<&str>) -> io::Result<Option<Vec<u8>>> {
    match send(Method::GET, url, ca_pem, Bytes::new()).await? {
        (StatusCode::OK, body) => Ok(Some(body)),
        (StatusCode::NOT_FOUND, _) => Ok(None),
        (status, _) => Err(io::Error::other(format!("the answer was {status}"))),
    }
}

async fn send(method: Method, url: &str, ca_pem: Option<&str>, body: Bytes) -> io::Result<(StatusCode, Vec<u8>)> {
    let tls = fetch::tls(ca_pem).map_err(|error| io::Error::other(error.public().to_owned()))?;
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let request = Request::builder().method(method).uri(url).body(Full::new(body)).map_err(io::Error::other)?;
    let exchange = async {
        let response = client.request(request).await.map_err(|error| io::Error::other(chain(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await.map_err(io::Error::other)?;
        Ok((status, body.to_bytes().to_vec()))
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(io::Error::other("it took too long")))
}

//! Answers that are taken as they come, however long they are.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::Method;

use super::{Client, Failure, MAX_ANSWER, Reply, failure};

impl Client {
    /// Reads `path` and hands every piece of the answer to `take`. The time limit is for each piece, not for the whole.
    ///
    /// # Errors
    /// [`Failure`] if the server refuses, the answer breaks off, or `take` fails.
    pub fn download(&self, path: &str, take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        let limit: Duration = self.settings.timeout();
        let at = self.settings.address();
        let late = |_| Failure::lost(format!("nothing came from {at} within {} seconds", limit.as_secs()), false);
        let broken = |error: &dyn std::fmt::Display| {
            Failure::lost(format!("the answer of {at} broke off ({error}): what came is not whole"), false)
        };
        let request = self.request(Method::GET, path, None, None)?;
        self.runtime.block_on(async {
            let answer = tokio::time::timeout(limit, self.http.request(request)).await.map_err(late)?;
            let (head, mut body) = answer.map_err(|error| failure::of_request(&self.settings, &error))?.into_parts();
            if !head.status.is_success() {
                let text = tokio::time::timeout(limit, Limited::new(body, MAX_ANSWER).collect()).await.map_err(late)?;
                let text = text.map_err(|error| broken(&error))?;
                return Reply::new(&head, &text.to_bytes()).success(&self.settings).map(drop);
            }
            while let Some(piece) = tokio::time::timeout(limit, body.frame()).await.map_err(late)? {
                if let Some(bytes) = piece.map_err(|error| broken(&error))?.data_ref() {
                    take(bytes)?;
                }
            }
            Ok(())
        })
    }
}

//! The broker: the host announces the sockets on which it serves a mount's storage, and ends the stream when it ends itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_stream::Pending;
use tonic::{Request, Response, Status, Streaming};

use super::exit::Exit;
use super::proto::plugin::ConnInfo;
use super::proto::plugin::grpc_broker_server::GrpcBroker;

/// How long a mount waits for its announcement, which may come later than the call that needs it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most announcements that nobody has asked for yet.
const MOST: usize = 4096;

/// Announced sockets by number.
#[derive(Default)]
pub struct Announcements {
    waiting: Mutex<HashMap<u32, ConnInfo>>,
    news: Notify,
}

impl Announcements {
    /// The socket with this number, once; `None` if it is not announced in time.
    pub async fn take(&self, id: u32) -> Option<ConnInfo> {
        let found = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                // Listening begins before looking, so that an announcement in between is not missed.
                news.as_mut().enable();
                if let Some(info) = self.waiting().remove(&id) {
                    return info;
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.ok()
    }
    fn put(&self, info: ConnInfo) {
        let mut waiting = self.waiting();
        if waiting.len() < MOST {
            waiting.insert(info.service_id, info);
        }
        drop(waiting);
        self.news.notify_waiters();
    }
    fn waiting(&self) -> MutexGuard<'_, HashMap<u32, ConnInfo>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `plugin.GRPCBroker`.
pub struct Broker {
    /// Where announcements go.
    pub announcements: Arc<Announcements>,
    /// Told when the host is gone.
    pub exit: Exit,
}

#[tonic::async_trait]
impl GrpcBroker for Broker {
    /// Never ends by itself: the host would not be able to announce anything any more.
    type StartStreamStream = Pending<Result<ConnInfo, Status>>;

    async fn start_stream(
        &self,
        request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        let mut stream = request.into_inner();
        let (announcements, exit) = (self.announcements.clone(), self.exit.clone());
        tokio::spawn(async move {
            while let Ok(Some(info)) = stream.message().await {
                announcements.put(info);
            }
            tracing::debug!("the host has gone");
            exit.ask();
        });
        Ok(Response::new(tokio_stream::pending()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(id: u32) -> ConnInfo {
        ConnInfo { service_id: id, network: "unix".into(), address: format!("/tmp/{id}"), knock: None }
    }

    #[tokio::test]
    async fn an_announcement_is_found_whether_it_comes_before_or_after() {
        let announcements = Arc::new(Announcements::default());
        announcements.put(info(1));
        assert_eq!(announcements.take(1).await.unwrap().address, "/tmp/1");
        let waiting = tokio::spawn({
            let announcements = announcements.clone();
            async move { announcements.take(2).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        announcements.put(info(3));
        announcements.put(info(2));
        assert_eq!(waiting.await.unwrap().unwrap().address, "/tmp/2");
        let taken: Vec<u32> = announcements.waiting().keys().copied().collect();
        assert_eq!(taken, [3], "what is taken is gone, what is not stays");
    }
}

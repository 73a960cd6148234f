//! What of an API server an agent asks: lists, in pieces, and watches that tell of changes. Made up, and said over HTTP on
//! loopback.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use egret_tests::netns::Netns;
use serde_json::json;

use super::cluster::{Kind, Size};

/// Served, and what it was asked.
#[derive(Default)]
pub struct Asked {
    pub requests: AtomicU64,
    pub bytes: AtomicU64,
}

/// It serves for as long as it lives.
pub struct Api {
    pub address: SocketAddr,
    pub asked: Arc<Asked>,
    watches: Arc<Mutex<Vec<(Kind, TcpStream)>>>,
    size: Size,
    ended: Arc<AtomicBool>,
}

impl Api {
    /// On loopback of `netns`.
    pub fn serve(netns: &Netns, size: Size) -> Result<Self> {
        let listener = netns.run(|| TcpListener::bind("127.0.0.1:0"))??;
        let address = listener.local_addr()?;
        let api =
            Self { address, asked: Arc::default(), watches: Arc::default(), size, ended: Arc::default() };
        let (asked, watches, ended) = (api.asked.clone(), api.watches.clone(), api.ended.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (asked, watches) = (asked.clone(), watches.clone());
                thread::spawn(move || answer(stream, &size, &asked, &watches));
            }
        });
        Ok(api)
    }

    /// Tells every watch of pods of the whole cluster that one has changed.
    pub fn change(&self, number: u64) -> Result<()> {
        let at = number as usize % self.size.pods;
        let object = Kind::Pods.object(at, &self.size, number);
        self.tell(Kind::Pods, &json!({"type": "MODIFIED", "object": object}).to_string())
    }

    /// Watches of pods of the whole cluster.
    pub fn watches(&self) -> usize {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.iter().filter(|(kind, _)| *kind == Kind::Pods).count()
    }

    fn tell(&self, kind: Kind, line: &str) -> Result<()> {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, stream) in watches.iter_mut().filter(|(of, _)| *of == kind) {
            chunk(stream, line)?;
            self.asked.bytes.fetch_add(line.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for (_, stream) in self.watches.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn answer(stream: TcpStream, size: &Size, asked: &Asked, watches: &Mutex<Vec<(Kind, TcpStream)>>) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some(target) = request(&mut reader) {
        asked.requests.fetch_add(1, Ordering::Relaxed);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let kind = kind(path, query);
        if value("watch") == Some("true") {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            if writer.write_all(head.as_bytes()).is_ok() {
                watches.lock().unwrap_or_else(PoisonError::into_inner).push((kind, writer));
            }
            // Until the agent goes.
            while reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
                thread::sleep(Duration::from_millis(100));
            }
            return;
        }
        let (status, body) = match kind {
            Kind::Other => ("404 Not Found", json!({"kind": "Status", "status": "Failure", "message": "not here", "reason": "NotFound", "code": 404}).to_string()),
            kind => ("200 OK", page(kind, size, value("limit"), value("continue"))),
        };
        asked.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

/// The target of a request; its body is passed by.
fn request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let target = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    std::io::Read::read_exact(reader, &mut body).ok()?;
    Some(target)
}

fn kind(path: &str, query: &str) -> Kind {
    match path {
        "/api/v1/pods" if query.contains("nodeName") => Kind::OwnPods,
        "/api/v1/pods" => Kind::Pods,
        "/api/v1/namespaces" => Kind::Namespaces,
        "/api/v1/services" => Kind::Services,
        "/api/v1/endpoints" => Kind::Endpoints,
        "/apis/egret.dev/v1alpha1/egresspolicies" => Kind::Policies,
        "/apis/egret.dev/v1alpha1/clusteregresspolicies" => Kind::ClusterPolicies,
        // Who resolves names: in this one nobody asks for any.
        "/api/v1/namespaces/kube-system/services" | "/api/v1/namespaces/kube-system/endpoints" => {
            Kind::Nothing
        }
        _ => Kind::Other,
    }
}

fn page(kind: Kind, size: &Size, limit: Option<&str>, from: Option<&str>) -> String {
    let count = kind.count(size);
    let from: usize = from.and_then(|from| from.parse().ok()).unwrap_or(0);
    let limit: usize = limit.and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0).unwrap_or(count);
    let end = count.min(from + limit);
    let items: Vec<_> = (from..end).map(|at| kind.object(at, size, 0)).collect();
    let (list, version) = kind.list();
    let mut metadata = json!({"resourceVersion": "1000"});
    if end < count {
        metadata["continue"] = end.to_string().into();
        metadata["remainingItemCount"] = (count - end).into();
    }
    json!({"kind": list, "apiVersion": version, "metadata": metadata, "items": items}).to_string()
}

fn chunk(stream: &mut TcpStream, line: &str) -> std::io::Result<()> {
    write!(stream, "{:x}\r\n{line}\n\r\n", line.len() + 1)
}

//! The socket on which a running daemon is asked: one request a client, answered by the shell or, from then on, by what happens.
//!
//! Clients are tasks of their own that send messages to the shell; none of them can make it wait. One that says nothing, or reads
//! nothing, is dropped.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Group;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::control::{Ask, ErrorCode, Event, MAX_REQUEST, Request, Response, VERSION};
use crate::printable::redact;

/// Who may ask beside root, where there is such a group.
pub(super) const GROUP: &str = "wirelink";
/// The most clients at a time: some shells and dashboards.
const MAX_CLIENTS: usize = 64;
/// How many of them are root in any case: the group may follow events for ever, and root must be able to ask why.
const ROOTS: usize = 8;
/// How long a client may take to ask, and to take an answer in.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many events a client may be behind.
const BEHIND: usize = 256;

/// Returns the socket of an interface in a folder.
pub fn path(folder: &Path, iface: &str) -> PathBuf {
    folder.join(format!("{iface}.sock"))
}

/// The socket, and who asks there.
pub(super) struct Control {
    path: Option<PathBuf>,
    asked: mpsc::Receiver<Asked>,
    events: broadcast::Sender<Event>,
    _listening: Option<AbortOnDropHandle<()>>,
}

/// What somebody asks, and where the answer goes.
pub(super) struct Asked {
    pub(super) ask: Ask,
    reply: oneshot::Sender<Vec<Response>>,
}

impl Asked {
    /// Answers; whoever went meanwhile is answered in vain.
    pub(super) fn answer(self, responses: Vec<Response>) {
        self.reply.send(responses).ok();
    }
}

impl Control {
    /// Listens on the socket of an interface, in the place of whatever is there: who has the [`Lock`](super::lock::Lock) is the only one
    /// to answer. Without a socket nobody asks, and all else goes on.
    pub(super) fn open(folder: Option<&Path>, iface: &str) -> Self {
        let path = folder.map(|folder| path(folder, iface));
        let (ask, asked) = mpsc::channel(MAX_CLIENTS);
        let (events, _) = broadcast::channel(BEHIND);
        let listener = path.as_deref().and_then(|path| {
            let complain = |error: &io::Error| {
                tracing::warn!("nobody can ask how this node is: {}: {error}", path.display());
            };
            listen(path).inspect_err(complain).ok()
        });
        let listening = listener.map(|listener| tokio::spawn(accept(listener, ask, events.clone())));
        Self {
            path: path.filter(|_| listening.is_some()),
            asked,
            events,
            _listening: listening.map(AbortOnDropHandle::new),
        }
    }

    /// Waits for a question, for ever where there is no socket; may be cancelled.
    pub(super) async fn asked(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }

    /// Returns where what happens is told.
    pub(super) fn events(&self) -> &broadcast::Sender<Event> {
        &self.events
    }

    /// Tells whoever follows what happens.
    pub(super) fn tell(&self, event: &Event) {
        self.events.send(event.clone()).ok();
    }

    /// Has the socket follow the interface's name.
    pub(super) fn rename(&mut self, iface: &str) {
        let Some(old) = &self.path else { return };
        let new = old.with_file_name(format!("{iface}.sock"));
        match fs::rename(old, &new) {
            Ok(()) => self.path = Some(new),
            Err(error) => tracing::warn!("{} stays where it is: {error}", old.display()),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            fs::remove_file(path).ok();
        }
    }
}

/// Makes the socket, for root and one group: under another name first, so that nobody connects before the rights are right.
fn listen(path: &Path) -> io::Result<UnixListener> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let new = path.with_extension("sock.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o660))?;
    share(&new);
    fs::rename(&new, path)?;
    Ok(listener)
}

/// Gives the socket to the group, where there is one. Whoever may not give it away goes on without: root can ask all the same.
fn share(socket: &Path) {
    let Ok(Some(group)) = Group::from_name(GROUP) else {
        return;
    };
    // A daemon of that group has given it to the group by making it.
    if fs::metadata(socket).is_ok_and(|made| made.gid() == group.gid.as_raw()) {
        return;
    }
    if let Err(error) = chown(socket, None, Some(group.gid.as_raw())) {
        tracing::warn!(
            "the group {GROUP} cannot ask how this node is, as its socket needs CAP_CHOWN to be given away: {error}"
        );
    }
}

async fn accept(listener: UnixListener, ask: mpsc::Sender<Asked>, events: broadcast::Sender<Event>) {
    let mut clients = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No file descriptor is left: one may be again.
            tokio::time::sleep(PATIENCE).await;
            continue;
        };
        while clients.try_join_next().is_some() {}
        let client = Client {
            stream,
            ask: ask.clone(),
            events: events.clone(),
        };
        let is_busy = clients.len() >= seats(client.caller());
        clients.spawn(async move {
            // What goes wrong is the client's matter.
            let _ = if is_busy {
                client.refuse().await
            } else {
                client.serve().await
            };
        });
        if is_busy {
            clients.join_next().await;
        }
    }
}

/// Returns how many clients there may be for another one of this user to be served.
fn seats(caller: Option<u32>) -> usize {
    match caller {
        Some(0) => MAX_CLIENTS,
        Some(_) | None => MAX_CLIENTS - ROOTS,
    }
}

struct Client {
    stream: UnixStream,
    ask: mpsc::Sender<Asked>,
    events: broadcast::Sender<Event>,
}

impl Client {
    /// Returns which user asks.
    fn caller(&self) -> Option<u32> {
        self.stream.peer_cred().ok().map(|peer| peer.uid())
    }

    async fn refuse(mut self) -> io::Result<()> {
        let text = "there are too many clients".to_owned();
        let code = ErrorCode::Busy;
        write(&mut self.stream, &Response::Error { code, text }).await
    }

    async fn serve(mut self) -> io::Result<()> {
        let ask = match timeout(PATIENCE, self.read()).await?? {
            Ok(ask) => ask,
            Err((code, text)) => return write(&mut self.stream, &Response::Error { code, text }).await,
        };
        let follows = matches!(ask, Ask::Events { follow: true });
        // Before what happened is asked for: between the two nothing may be missed.
        let mut events = self.events.subscribe();
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.ask.send(Asked { ask, reply }).await.map_err(|_| gone())?;
        for response in answer.await.map_err(|_| gone())? {
            write(&mut self.stream, &response).await?;
        }
        if !follows {
            return Ok(());
        }
        loop {
            let mut nothing = [0];
            tokio::select! {
                // Whoever closes, or says more, is done.
                _ = self.stream.read(&mut nothing) => return Ok(()),
                // Nor is anybody served who is too far behind.
                event = events.recv() => {
                    write(&mut self.stream, &Response::Event(event.map_err(|_| gone())?)).await?;
                }
            }
        }
    }

    /// Reads the one request; what cannot be granted comes back as the answer.
    async fn read(&mut self) -> io::Result<Result<Ask, Refusal>> {
        let caller = self.stream.peer_cred()?.uid();
        let mut line = Vec::new();
        let mut bounded = BufReader::new((&mut self.stream).take(MAX_REQUEST as u64));
        bounded.read_until(b'\n', &mut line).await?;
        Ok(permit(&line, caller))
    }
}

/// Why what is asked is not done, and what to say of it.
pub(super) type Refusal = (ErrorCode, String);

/// Reads a request of a user.
fn permit(line: &[u8], caller: u32) -> Result<Ask, Refusal> {
    let bad = |text: String| (ErrorCode::BadRequest, text);
    let request: Request =
        serde_json::from_slice(line).map_err(|error| bad(format!("not a request: {}", redact(&error.to_string()))))?;
    if request.version > VERSION {
        return Err(bad(format!(
            "this daemon speaks version {VERSION}, and the client version {}",
            request.version
        )));
    }
    let own = rustix::process::geteuid().as_raw();
    if request.ask.is_change() && caller != 0 && caller != own {
        return Err((ErrorCode::NotPermitted, "only root may change something".to_owned()));
    }
    Ok(request.ask)
}

async fn write(stream: &mut UnixStream, response: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    timeout(PATIENCE, stream.write_all(&line)).await?
}

#[cfg(test)]
mod tests;

//! The socket on which a running daemon is asked: one request a client, answered by the shell or, from then on, by what happens.
//!
//! Clients are tasks of their own that send messages to the shell; none of them can make it wait. One that says nothing, or reads
//! nothing, is dropped. Seats are shared fairly by users (`seats`), and all answers that wait have one bound (`held`).

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Group;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, chownat};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::held::{Held, Text};
use super::listing::Listing;
use super::seats::{Seat, Seats, Stage};
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
    held: Held,
    _listening: Option<AbortOnDropHandle<()>>,
}

/// What somebody asks, and where the answer goes.
pub(super) struct Asked {
    pub(super) ask: Ask,
    /// The user who asks, where the kernel says.
    pub(super) caller: Option<u32>,
    /// How the answer goes on, of which pieces were given.
    listing: Option<Listing>,
    held: Held,
    /// The client that waits.
    over: CancellationToken,
    reply: oneshot::Sender<Piece>,
}

/// An answer, or a piece of one that goes on.
struct Piece {
    text: Text,
    next: Option<Listing>,
}

impl Asked {
    /// Returns how the answer goes on, where it was begun.
    pub(super) fn take_listing(&mut self) -> Option<Listing> {
        self.listing.take()
    }

    /// Answers; whoever went meanwhile is answered in vain.
    pub(super) fn answer(self, responses: &[Response]) {
        self.answer_with(lines(responses), None);
    }

    /// Answers with a piece of a text, and how it goes on.
    pub(super) fn answer_with(self, text: Vec<u8>, next: Option<Listing>) {
        let text = self.held.hold(text).read_by(&self.over);
        self.reply.send(Piece { text, next }).ok();
    }
}

fn lines(responses: &[Response]) -> Vec<u8> {
    let mut text = Vec::new();
    for response in responses {
        serde_json::to_writer(&mut text, response).expect("answers have a form in JSON, and memory takes it");
        text.push(b'\n');
    }
    text
}

impl Control {
    /// Listens on the socket of an interface, in the place of whatever is there: who has the [`Lock`](super::lock::Lock) is the only one
    /// to answer. Without a socket nobody asks, and all else goes on.
    pub(super) fn open(folder: Option<&Path>, iface: &str) -> Self {
        let path = folder.map(|folder| path(folder, iface));
        let (ask, asked) = mpsc::channel(MAX_CLIENTS);
        let (events, _) = broadcast::channel(BEHIND);
        let held = Held::default();
        let listener = path.as_deref().and_then(|path| {
            let complain = |error: &io::Error| {
                tracing::warn!("nobody can ask how this node is: {}: {error}", path.display());
            };
            listen(path).inspect_err(complain).ok()
        });
        let clients = Clients {
            ask,
            events: events.clone(),
            held: held.clone(),
        };
        let listening = listener.map(|listener| tokio::spawn(accept(listener, clients)));
        Self {
            path: path.filter(|_| listening.is_some()),
            asked,
            events,
            held,
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

    /// Returns what counts the answers that wait.
    pub(super) const fn held(&self) -> &Held {
        &self.held
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
    // By a descriptor of what was made: another file that somebody puts in its place keeps its rights.
    let made = File::from(rustix::fs::open(
        &new,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?);
    if !made.metadata()?.file_type().is_socket() {
        return Err(io::Error::other("another file is in the place of the socket"));
    }
    share(&made);
    // A descriptor of a path takes no mode but by its link (open(2), O_PATH).
    let link = format!("/proc/self/fd/{}", made.as_raw_fd());
    fs::set_permissions(link, fs::Permissions::from_mode(0o660))?;
    fs::rename(&new, path)?;
    Ok(listener)
}

/// Gives the socket to the group, where there is one. Whoever may not give it away goes on without: root can ask all the same.
fn share(socket: &File) {
    let Ok(Some(group)) = Group::from_name(GROUP) else {
        return;
    };
    // A daemon of that group has given it to the group by making it.
    if socket.metadata().is_ok_and(|made| made.gid() == group.gid.as_raw()) {
        return;
    }
    if let Err(error) = chownat(
        socket,
        "",
        None,
        Some(Gid::from_raw(group.gid.as_raw())),
        AtFlags::EMPTY_PATH,
    ) {
        tracing::warn!(
            "the group {GROUP} cannot ask how this node is, as its socket needs CAP_CHOWN to be given away: {error}"
        );
    }
}

/// The state that all clients share.
#[derive(Clone)]
struct Clients {
    ask: mpsc::Sender<Asked>,
    events: broadcast::Sender<Event>,
    held: Held,
}

async fn accept(listener: UnixListener, shared: Clients) {
    let seats = Seats::default();
    let mut clients = JoinSet::new();
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            // No file descriptor is left: one may be again.
            tokio::time::sleep(PATIENCE).await;
            continue;
        };
        while clients.try_join_next().is_some() {}
        let caller = stream.peer_cred().ok().map(|peer| peer.uid());
        let Some(seat) = seats.take(caller, most_seats(caller)) else {
            // An error here concerns the client alone. The line fits into the buffer of a new connection.
            let text = "there are too many clients".to_owned();
            let code = ErrorCode::Busy;
            write(&mut stream, &lines(&[Response::Error { code, text }])).await.ok();
            continue;
        };
        let shared = shared.clone();
        clients.spawn(async move {
            let over = seat.over().clone();
            let client = Client { stream, shared, seat };
            tokio::select! {
                // An error here concerns the client alone.
                _ = client.serve() => {}
                () = over.cancelled() => {}
            }
        });
    }
}

/// Returns how many clients there may be for another one of this user to be served without that one is dropped.
fn most_seats(caller: Option<u32>) -> usize {
    match caller {
        Some(0) => MAX_CLIENTS,
        Some(_) | None => MAX_CLIENTS - ROOTS,
    }
}

struct Client {
    stream: UnixStream,
    shared: Clients,
    seat: Seat<Option<u32>>,
}

impl Client {
    async fn serve(mut self) -> io::Result<()> {
        let ask = match timeout(PATIENCE, self.read()).await?? {
            Ok(ask) => ask,
            Err((code, text)) => return write(&mut self.stream, &lines(&[Response::Error { code, text }])).await,
        };
        let follows = matches!(ask, Ask::Events { follow: true });
        self.seat
            .reach(if follows { Stage::Following } else { Stage::Answered });
        // Before what happened is asked for: between the two nothing may be missed.
        let mut events = self.shared.events.subscribe();
        let mut listing = None;
        loop {
            let Piece { text, next } = self.ask(ask.clone(), listing).await?;
            write(&mut self.stream, text.as_ref()).await?;
            listing = next;
            if listing.is_none() {
                break;
            }
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
                    let event = Response::Event(event.map_err(|_| gone())?);
                    write(&mut self.stream, &lines(&[event])).await?;
                }
            }
        }
    }

    /// Has the shell answer, or go on with its answer.
    async fn ask(&self, ask: Ask, listing: Option<Listing>) -> io::Result<Piece> {
        let (reply, answer) = oneshot::channel();
        let (held, over) = (self.shared.held.clone(), self.seat.over().clone());
        let asked = Asked {
            ask,
            caller: self.stream.peer_cred().ok().map(|peer| peer.uid()),
            listing,
            held,
            over,
            reply,
        };
        self.shared.ask.send(asked).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
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

async fn write(stream: &mut UnixStream, text: &[u8]) -> io::Result<()> {
    timeout(PATIENCE, stream.write_all(text)).await?
}

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

#[cfg(test)]
mod tests;

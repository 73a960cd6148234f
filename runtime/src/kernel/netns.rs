//! Network namespaces: how to find, enter and read them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::AddressAttribute;
pub use rtnetlink::packet_route::link::InfoKind;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp};
use rtnetlink::packet_route::nsid::{NsidAttribute, NsidMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage, link::LinkLayerType};
use rtnetlink::{Handle, MulticastGroup};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{Doing, KernelError};

/// A network namespace, held open.
#[derive(Debug)]
pub struct NetNs {
    file: File,
    /// What tells it from all others that are open: the inode of its file.
    pub inode: u64,
    /// For messages.
    pub path: PathBuf,
}

impl NetNs {
    /// Opens the namespace that a file stands for.
    ///
    /// # Errors
    /// Where there is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let inode = file.metadata()?.ino();
        Ok(Self { file, inode, path: path.to_owned() })
    }

    /// Whether it is what the file at `path` stands for.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| metadata.ino() == self.inode)
    }

    /// The namespace of this thread.
    ///
    /// # Errors
    /// Where /proc is not there.
    pub fn own() -> io::Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }
}

/// Runs `f` on a thread of its own inside `netns`.
///
/// # Errors
/// Where the namespace cannot be entered.
pub fn inside<T: Send>(netns: &NetNs, f: impl FnOnce() -> T + Send) -> Result<T, KernelError> {
    let runtime = tokio::runtime::Handle::try_current().ok();
    let run = || {
        let _entered = runtime.as_ref().map(tokio::runtime::Handle::enter);
        let entered = move_into_link_name_space(netns.file.as_fd(), Some(LinkNameSpaceType::Network));
        entered.map(|()| f())
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        .doing(|| format!("enter the network namespace {}", netns.path.display()))
}

/// Runs each of `visits` inside its namespace, all on one thread.
pub fn visit<T: Send>(visits: Vec<(&NetNs, impl FnOnce() -> T + Send)>) -> Vec<Result<T, KernelError>> {
    let run = || {
        let each = visits.into_iter().map(|(netns, f)| {
            move_into_link_name_space(netns.file.as_fd(), Some(LinkNameSpaceType::Network))
                .map(|()| f())
                .doing(|| format!("enter the network namespace {}", netns.path.display()))
        });
        each.collect()
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A device of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind, such as `Veth`; `None` for a hardware device.
    pub kind: Option<InfoKind>,
    /// The index of its other end or lower device.
    pub link: Option<u32>,
    /// The namespace that `link` counts in, by its number among [`Ids`]; `None`: this one.
    pub link_netns: Option<i32>,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is the loopback device.
    pub loopback: bool,
    /// The XDP program on it, by its number in the kernel: it has what comes in before every other program.
    pub xdp: Option<u32>,
}

impl Device {
    /// Whether it is one end of a pair.
    #[must_use]
    pub fn is_pair(&self) -> bool {
        self.kind == Some(InfoKind::Veth)
    }

    fn of(message: &LinkMessage) -> Self {
        let mut device = Self {
            index: message.header.index,
            name: String::new(),
            kind: None,
            link: None,
            link_netns: None,
            up: message.header.flags.contains(LinkFlags::Up),
            loopback: message.header.link_layer_type == LinkLayerType::Loopback,
            xdp: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => device.name.clone_from(name),
                LinkAttribute::Link(index) => device.link = Some(*index),
                LinkAttribute::LinkNetNsId(id) => device.link_netns = Some(*id),
                LinkAttribute::LinkInfo(infos) => {
                    device.kind = infos.iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind.clone()),
                        _ => None,
                    });
                }
                LinkAttribute::Xdp(parts) => {
                    device.xdp = parts.iter().find_map(|part| match part {
                        LinkXdp::ProgId(id) => Some(*id),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        device
    }

    /// What it is, in words.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.kind {
            None => "a device of the hardware, perhaps a virtual function".to_owned(),
            Some(kind) => format!("of kind {kind}"),
        }
    }
}

/// What a namespace holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Its devices.
    pub devices: Vec<Device>,
    /// Its addresses but loopback's, each with the index of its device.
    pub addresses: Vec<(u32, IpAddr)>,
}

/// A view of one namespace that can be read again, and tells when to. It keeps the namespace alive.
pub struct Watch {
    handle: Handle,
    changes: watch::Receiver<()>,
    /// The socket's and the reader's: a namespace must not outlive its watch.
    tasks: [AbortHandle; 2],
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Watch {
    /// Opens a view of `netns`; inside a tokio runtime.
    ///
    /// # Errors
    /// Where the namespace cannot be entered, or gives no netlink socket.
    pub fn open(netns: &NetNs) -> Result<Self, KernelError> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, handle, mut messages) =
            inside(netns, || rtnetlink::new_multicast_connection(&groups))?
                .doing(|| format!("open a netlink socket in {}", netns.path.display()))?;
        // Messages wait in memory without a bound, and whoever may change the namespace makes as many as they like:
        // so they are taken at once, and all that were not acted on yet are one.
        let (changed, changes) = watch::channel(());
        let reader = async move {
            while messages.next().await.is_some() {
                changed.send_replace(());
            }
        };
        let tasks = [tokio::spawn(connection).abort_handle(), tokio::spawn(reader).abort_handle()];
        Ok(Self { handle, changes, tasks })
    }

    /// Waits until something may have changed; false when there is nothing left to watch.
    pub async fn changed(&mut self) -> bool {
        self.changes.changed().await.is_ok()
    }

    /// Reads devices and addresses.
    ///
    /// # Errors
    /// What netlink said.
    pub async fn survey(&mut self) -> Result<Survey, KernelError> {
        let mut survey = Survey::default();
        let mut links = self.handle.link().get().execute();
        while let Some(message) = links.try_next().await.doing(|| "list the devices".to_owned())? {
            survey.devices.push(Device::of(&message));
        }
        let mut addresses = self.handle.address().get().execute();
        while let Some(message) = addresses.try_next().await.doing(|| "list the addresses".to_owned())? {
            let known = matches!(message.header.family, AddressFamily::Inet | AddressFamily::Inet6);
            let address = message.attributes.iter().find_map(own_address);
            if let (true, Some(address)) = (known, address)
                && !address.is_loopback()
            {
                survey.addresses.push((message.header.index, address));
            }
        }
        survey.addresses.sort_unstable();
        survey.addresses.dedup();
        Ok(survey)
    }
}

/// The numbers by which one namespace knows others.
pub struct Ids(Handle);

impl Ids {
    /// Opens those of `netns`; inside a tokio runtime.
    ///
    /// # Errors
    /// As [`Watch::open`].
    pub fn open(netns: &NetNs) -> Result<Self, KernelError> {
        let (connection, handle, _) = inside(netns, rtnetlink::new_connection)?
            .doing(|| format!("open a netlink socket in {}", netns.path.display()))?;
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// The number of `other`; `None` where no device leads there.
    ///
    /// # Errors
    /// What netlink said.
    pub async fn of(&mut self, other: &NetNs) -> Result<Option<i32>, KernelError> {
        let mut question = NsidMessage::default();
        question.attributes.push(NsidAttribute::Fd(other.file.as_raw_fd().cast_unsigned()));
        let mut question = NetlinkMessage::from(RouteNetlinkMessage::GetNsId(question));
        question.header.flags = NLM_F_REQUEST;
        let doing = || format!("ask which number {} has", other.path.display());
        let answers: Vec<_> = self.0.request(question).doing(doing)?.collect().await;
        Ok(answers.iter().find_map(number))
    }
}

/// -1 stands for none.
fn number(answer: &NetlinkMessage<RouteNetlinkMessage>) -> Option<i32> {
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(answer)) = &answer.payload else {
        return None;
    };
    answer.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Id(id) if *id >= 0 => Some(*id),
        _ => None,
    })
}

/// The address itself: on a point-to-point device IFA_ADDRESS is the other end's, and IFA_LOCAL its own.
fn own_address(attribute: &AddressAttribute) -> Option<IpAddr> {
    match attribute {
        AddressAttribute::Local(address) => Some(*address),
        AddressAttribute::Address(address) if address.is_ipv6() => Some(*address),
        _ => None,
    }
}

/// Every namespace that has a name or a process, once each, but for `except`.
#[must_use]
pub fn all(except: &NetNs) -> Vec<NetNs> {
    let named = fs::read_dir("/run/netns").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        Some(entry.path().join("ns/net"))
    });
    let mut seen = HashSet::from([except.inode]);
    named
        .chain(processes)
        .filter_map(|path| NetNs::open(&path).ok())
        .filter(|netns| seen.insert(netns.inode))
        .collect()
}

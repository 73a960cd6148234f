//! A small node and a small internet, made of network namespaces, gone when the [`World`] is.
//!
//! In: the pods a test wants. Out: a node that forwards, pods tied to it, and an internet that owns **every other
//! address on earth** and has a DNS server: whatever listens there can be reached from every pod, so a refusal is
//! always the work of the program under test. Nothing touches the machine's own network. `plan` says what is made,
//! `surroundings` what else is at work there, `sweep` takes it away, also when the process is interrupted, and what dead processes left.

mod plan;
mod pod;
mod surroundings;
mod sweep;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::runtime::Runtime;

use crate::eventually;
use crate::netns::{Netns, ip_batch};
use crate::servers::{self, Unbound, Zone};
use surroundings::Others;

pub use plan::{NODE, POD_RANGES, Topology};
pub use pod::Pod;
pub use surroundings::Surroundings;
pub use sweep::wait_for_interrupt;

/// The resolver that the agent is told to trust.
pub const RESOLVER: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(192, 0, 2, 53), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53));
/// A resolver that nobody told the agent of; it has a zone of its own.
pub const STRANGER: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(203, 0, 113, 53), Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x53));

/// A node, its pods and the internet.
#[derive(Debug)]
pub struct World {
    prefix: String,
    topology: Topology,
    surroundings: Surroundings,
    others: Others,
    node: Netns,
    internet: Netns,
    pods: Vec<Pod>,
    zone: Zone,
    strange_zone: Zone,
    runtime: Option<Runtime>,
}

impl World {
    /// A world with `pods`, each written `namespace/name` and labelled `app: name`, and listeners on TCP 22, 80 and
    /// 443 of every address of the internet.
    ///
    /// # Errors
    /// No root, no `ip`, or what the kernel refused.
    pub fn with_pods(pods: &[&str]) -> Result<Self> {
        Self::with_topology(Topology::Routed, pods)
    }

    /// As [`World::with_pods`], tied together as `topology` says.
    ///
    /// # Errors
    /// As [`World::with_pods`].
    pub fn with_topology(topology: Topology, pods: &[&str]) -> Result<Self> {
        demand_root()?;
        sweep::clean_up_on_signals()?;
        let mut world = Self::empty(topology)?;
        world.fill(pods)?;
        Ok(world)
    }

    fn empty(topology: Topology) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("eg{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("internet")
            .enable_all()
            .build()?;
        Ok(Self {
            node: Netns::named(format!("{prefix}-node")),
            internet: Netns::named(format!("{prefix}-internet")),
            pods: Vec::new(),
            zone: Zone::default(),
            strange_zone: Zone::default(),
            runtime: Some(runtime),
            topology,
            surroundings: Surroundings::of_this_test(),
            others: Others::default(),
            prefix,
        })
    }

    /// A world that fails here is dropped by the caller, who is not busy any more.
    fn fill(&mut self, pods: &[&str]) -> Result<()> {
        let _busy = sweep::busy();
        sweep::remove_leftovers();
        self.make(pods)?;
        self.start_servers()
    }

    fn make(&mut self, pods: &[&str]) -> Result<()> {
        ensure!(pods.len() < 1000, "a world has fewer than 1000 pods");
        for (index, pod) in (0u16..).zip(pods) {
            let (namespace, name) = pod.split_once('/').context("write a pod as namespace/name")?;
            self.pods.push(Pod::new(namespace, name, plan::link(&self.prefix, index, name)));
        }
        let namespaces = || [&self.node, &self.internet].into_iter().chain(self.pods.iter().map(Pod::netns));
        ip_batch(None, &namespaces().map(|netns| format!("netns add {}", netns.name())).collect::<Vec<_>>())?;
        namespaces().try_for_each(|netns| netns.set(&plan::EVERYWHERE))?;
        self.node.set(&plan::NODE_SETTINGS)?;
        self.internet.set(&plan::INTERNET_SETTINGS)?;

        let mut node = plan::node(self.internet.name(), self.topology);
        node.extend(self.pods.iter().flat_map(|pod| plan::host_side(pod.link(), self.topology)));
        ip_batch(Some(&self.node), &node)?;
        ip_batch(Some(&self.internet), &plan::internet())?;
        fs::create_dir(self.directory()).context("cannot make the world's directory")?;
        for pod in &self.pods {
            ip_batch(Some(pod.netns()), &plan::pod_side(pod.link(), self.topology))?;
            write_resolvers(pod.netns())?;
        }
        namespaces().try_for_each(wait_for_links)?;
        mount_bpffs()?;
        self.others = Others::of_node(self.surroundings, &self.node, plan::UPLINK)?;
        self.pods.iter().try_for_each(|pod| self.others.add(self.surroundings, &self.node, pod))
    }

    /// Takes the pod's network namespace away, and waits until its interface is gone with it: nothing may keep it alive.
    ///
    /// # Errors
    /// It is still there after 5 s.
    ///
    /// # Panics
    /// As [`World::pod`].
    pub fn take_away(&self, id: &str) -> Result<()> {
        let pod = self.pod(id);
        ip_batch(None, &[format!("netns del {}", pod.netns().name())])?;
        let name = format!("{}:", pod.host_interface());
        let devices = || self.node.run(|| fs::read_to_string("/proc/thread-self/net/dev"));
        eventually(&format!("{name} gone"), Duration::from_secs(5), || {
            Ok((!devices()??.contains(&name)).then_some(()))
        })
    }

    /// Makes the network namespace of a pod that was taken away again: the same names, other addresses.
    ///
    /// # Errors
    /// What the kernel refused.
    ///
    /// # Panics
    /// As [`World::pod`].
    pub fn bring_back(&mut self, id: &str) -> Result<()> {
        let at = self.pods.iter().position(|pod| pod.id() == id).expect("a pod of this world");
        self.pods[at].readdress();
        let pod = &self.pods[at];
        ip_batch(None, &[format!("netns add {}", pod.netns().name())])?;
        pod.netns().set(&plan::EVERYWHERE)?;
        ip_batch(Some(&self.node), &plan::host_side(pod.link(), self.topology))?;
        ip_batch(Some(pod.netns()), &plan::pod_side(pod.link(), self.topology))?;
        wait_for_links(pod.netns())?;
        self.others.add(self.surroundings, &self.node, pod)
    }

    /// Takes it that the pod was tied to the node by a new pair, which nobody told a CNI of.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn rewired(&self, pod: &Pod) -> Result<()> {
        self.others.forget(pod)
    }

    fn start_servers(&self) -> Result<()> {
        for (addresses, zone) in [(RESOLVER, &self.zone), (STRANGER, &self.strange_zone)] {
            for address in [IpAddr::from(addresses.0), IpAddr::from(addresses.1)] {
                servers::serve_dns(
                    self.runtime(),
                    &self.internet,
                    SocketAddr::new(address, 53),
                    zone.clone(),
                )?;
            }
        }
        [22, 80, 443].into_iter().try_for_each(|port| self.listen_everywhere(port))
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("the runtime is taken by drop only")
    }

    /// Listens on TCP `port` of every address of the internet, both families.
    ///
    /// # Errors
    /// The port is taken.
    pub fn listen_everywhere(&self, port: u16) -> Result<()> {
        let every = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
        every
            .into_iter()
            .try_for_each(|address| self.serve_tcp(&self.internet, SocketAddr::new(address, port)))
    }

    /// Listens on TCP `address` in `netns`: greets with `netns` and the address dialled, then echoes.
    ///
    /// # Errors
    /// The address is taken or is not of that namespace.
    pub fn serve_tcp(&self, netns: &Netns, address: SocketAddr) -> Result<()> {
        servers::serve_tcp(self.runtime(), netns, address)
    }

    /// Echoes UDP datagrams to `address` in `netns`, with a greeting in front.
    ///
    /// # Errors
    /// As [`World::serve_tcp`].
    pub fn serve_udp(&self, netns: &Netns, address: SocketAddr) -> Result<()> {
        servers::serve_udp(self.runtime(), netns, address)
    }

    /// Runs Debian's `unbound` on port 53 of `address` in the internet, with `records` as lines of a zone file.
    ///
    /// # Errors
    /// As [`Unbound::start`].
    pub fn run_unbound(&self, address: IpAddr, records: &[&str]) -> Result<Unbound> {
        Unbound::start(&self.internet, &self.directory(), address, records)
    }

    /// What the trusted resolver answers.
    #[must_use]
    pub fn dns(&self) -> &Zone {
        &self.zone
    }

    /// What the resolver answers that nobody trusts.
    #[must_use]
    pub fn strange_dns(&self) -> &Zone {
        &self.strange_zone
    }

    /// The pod written `namespace/name`.
    ///
    /// # Panics
    /// The world was made without it.
    #[must_use]
    pub fn pod(&self, id: &str) -> &Pod {
        self.pods.iter().find(|pod| pod.id() == id).unwrap_or_else(|| panic!("this world has no pod {id}"))
    }

    /// All pods, in the order they were asked for.
    #[must_use]
    pub fn pods(&self) -> &[Pod] {
        &self.pods
    }

    /// Where the agent runs and the pods' host sides are.
    #[must_use]
    pub fn node(&self) -> &Netns {
        &self.node
    }

    /// What else is at work there.
    #[must_use]
    pub fn surroundings(&self) -> Surroundings {
        self.surroundings
    }

    /// Where the servers are.
    #[must_use]
    pub fn internet(&self) -> &Netns {
        &self.internet
    }

    /// A directory of this world alone, removed with it.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        Path::new("/run").join(&self.prefix)
    }

    /// Where the agent pins what it loads; removed with the world, and with it all that was attached.
    #[must_use]
    pub fn bpffs(&self) -> PathBuf {
        Path::new("/sys/fs/bpf").join(&self.prefix)
    }

    /// The folder of one version of the layouts in it, where what judges is pinned.
    ///
    /// # Errors
    /// No agent was there.
    pub fn pins(&self) -> Result<PathBuf> {
        let folders = std::fs::read_dir(self.bpffs())?.collect::<std::io::Result<Vec<_>>>()?;
        let pins = folders.iter().find(|folder| folder.file_name().to_string_lossy().starts_with('v'));
        Ok(pins.context("no pins")?.path())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _busy = sweep::busy();
        let agreed = self.others.agree();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_millis(200));
        }
        sweep::remove_world(&self.prefix);
        if !thread::panicking() {
            agreed.expect("every program of others sees what was let pass");
        }
    }
}

fn demand_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "network namespaces and eBPF programs need root, and nothing is skipped without it; run this as root: \
             sudo -E cargo xtask test"
        );
    }
    Ok(())
}

/// The kernel calls an interface ready some time after it is up, and drops what is sent before.
fn wait_for_links(netns: &Netns) -> Result<()> {
    let read = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}"));
    let ready = || -> Result<bool> {
        let (devices, addresses) = netns.run(|| anyhow::Ok((read("dev")?, read("if_inet6")?)))??;
        Ok(plan::links_are_ready(&devices, &addresses))
    };
    eventually(&format!("the links of {}", netns.name()), Duration::from_secs(5), || {
        Ok(ready()?.then_some(()))
    })
}

/// glibc reads this inside `ip netns exec`, and the agent on the host.
fn write_resolvers(netns: &Netns) -> Result<()> {
    let directory = Path::new("/etc/netns").join(netns.name());
    let made = (0..10).any(|_| fs::create_dir_all(&directory).is_ok());
    ensure!(made, "cannot make {}", directory.display());
    let text =
        format!("nameserver {}\nnameserver {}\noptions timeout:1 attempts:2\n", RESOLVER.0, RESOLVER.1);
    fs::write(directory.join("resolv.conf"), text).context("cannot write resolv.conf")
}

fn mount_bpffs() -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    if mounts.lines().any(|line| line.split(' ').nth(1) == Some("/sys/fs/bpf")) {
        return Ok(());
    }
    rustix::mount::mount("bpffs", "/sys/fs/bpf", "bpf", rustix::mount::MountFlags::empty(), None)
        .context("cannot mount bpffs on /sys/fs/bpf")
}

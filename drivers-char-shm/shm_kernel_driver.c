// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the kernel and user space share, and in which locks work
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 *
 * A region is memory with a byte-exact size, an owner, a mode and maybe a name.
 * Its pages are page-cache folios of an inode of its own, which is why futexes,
 * page pins and huge mappings work on it. User space holds a region through
 * file descriptors only:
 *
 *	int ctl = open("/dev/shm_kernel_driver", O_RDWR);
 *	struct shm_kernel_create args = { .size = sizeof(args), .mode = 0600,
 *					  .length = 1 << 20, };
 *	int fd = ioctl(ctl, SHM_KERNEL_IOC_CREATE, &args);
 *	void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
 *
 * See Documentation/userspace-api/shm_kernel.rst.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/atomic.h>
#include <linux/cacheinfo.h>
#include <linux/cleanup.h>
#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/ctype.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/irq_work.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/pagemap.h>
#include <linux/poll.h>
#include <linux/printk.h>
#include <linux/proc_fs.h>
#include <linux/pseudo_fs.h>
#include <linux/rbtree.h>
#include <linux/rculist.h>
#include <linux/rcupdate_wait.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/shm_kernel.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/splice.h>
#include <linux/string.h>
#include <linux/string_helpers.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/userfaultfd_k.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <kunit/visibility.h>
#include <uapi/linux/shm_kernel.h>

#include "shm_kernel_driver.h"

#define CREATE_TRACE_POINTS
#include <trace/events/shm_kernel.h>

#define SHM_NAME	"shm_kernel"
#define SHM_MAGIC	0x73686d6b	/* "shmk" */

#define SHM_CREATE_FLAGS						\
	(SHM_KERNEL_CREATE_PERSIST | SHM_KERNEL_CREATE_CONTIG |		\
	 SHM_KERNEL_CREATE_SMALL | SHM_KERNEL_CREATE_NODE)

#define SHM_WRITE_SEALS							\
	(SHM_KERNEL_SEAL_WRITE | SHM_KERNEL_SEAL_FUTURE_WRITE)

#define SHM_SEALS							\
	(SHM_KERNEL_SEAL_SEAL | SHM_KERNEL_SEAL_SHRINK |		\
	 SHM_KERNEL_SEAL_GROW | SHM_WRITE_SEALS)

/* What region 0 holds after load and after RESET, as 32-bit words. */
#define SHM_WORD_0		0x1111
#define SHM_WORD_0X100		0x2222

/* How much of a region the dump at its end shows. */
#define SHM_DUMP_BYTES		64

/**
 * struct shm_user - what the regions that one user created amount to
 * @uid: the user
 * @regions: regions that refer to this structure
 * @pages: pages they hold
 *
 * Protected by shm_account_lock.
 */
struct shm_user {
	kuid_t uid;
	unsigned long regions;
	unsigned long pages;
};

/**
 * struct shm_folio_table - the way from an offset to a folio, for read and write
 * @rcu: frees it
 * @shift: an entry stands for 1 << @shift bytes
 * @max: entries that there is room for
 * @nr: entries in use
 * @folios: the folios, each as often as it has such pieces
 *
 * It holds the folios from index 0 on that are at least as large as the first.
 * An entry may be found just after its folio has left the region: whoever uses
 * it takes a reference and looks at the folio's mapping and index again.
 */
struct shm_folio_table {
	struct rcu_head rcu;
	unsigned int shift;
	pgoff_t max;
	pgoff_t nr;
	struct folio *folios[] __counted_by(max);
};

/* What peers are told of, besides rings. */
enum shm_event {
	SHM_PEER_CAME,
	SHM_PEER_WENT,
	SHM_RESIZED,
	SHM_SEALED,
	SHM_WAS_REVOKED,
	SHM_NR_EVENTS
};

/**
 * struct shm_map - a mapping of a region for the kernel
 * @addr: where, NULL if there is none
 * @pages: the pages, or NULL if they lie side by side in the direct map
 * @nr: number of pages
 *
 * It has a reference on each folio, so that it outlives a revoke.
 */
struct shm_map {
	void *addr;
	struct page **pages;
	pgoff_t nr;
};

/**
 * struct shm_kernel_region - memory that the kernel and user space share
 * @inode: the inode whose page cache is the memory. Its i_rwsem serialises
 *	everything that changes the size or rewrites the content as a whole.
 * @dentry: the only dentry of @inode. A reference to it is a reference to the
 *	region: region files, mappings (through their file) and shm_hold() have
 *	one. The memory is freed when the last is gone.
 * @id: identifies the region, never used again
 * @id_link: entry of shm_regions; protected by shm_regions_lock
 * @flags: SHM_KERNEL_INFO_*; those that change do so under shm_names_lock
 * @users: open files, whether in a process, in a socket or under a mapping, and
 *	shm_hold(). The name goes when this drops to 0.
 * @holds: those of @users that are no files of the region
 * @name: NULL while the region has no name; protected by shm_names_lock
 * @name_len: length of @name; likewise
 * @name_link: entry of shm_names while @name is set; likewise
 * @nr_pages: the page cache is filled from index 0 to here, which may be past
 *	the size after a shrink; changes under i_rwsem
 * @first_pmd: index of the first folio that can be mapped by a PMD, ULONG_MAX
 *	if there is none; changes under i_rwsem
 * @table: what read and write look folios up in, before the page cache; never
 *	NULL once the region can be opened; changes under i_rwsem
 * @numa_node: node to allocate from, or NUMA_NO_NODE
 * @user: who is charged for the memory
 * @tag: the creator's 32 bytes
 * @seals: SHM_KERNEL_SEAL_*; changes under i_rwsem
 * @map: where the kernel has the region mapped; changes under i_rwsem
 * @nr_maps: how many of the kernel's users have it mapped; likewise. The size
 *	does not change while there are any.
 * @rings: how often the doorbell was rung
 * @happened: how often each enum shm_event happened. Peers are those that came
 *	and have not gone.
 * @wait: where those who wait for an event sleep
 * @wake: wakes them for a kernel client, which may be in any context
 * @had_clients: there was a client, so @wake may be under way
 * @clients_lock: protects @clients and is held while a client's reset operation
 *	runs; taken before i_rwsem
 * @clients: the attached clients; read under RCU as well
 */
struct shm_kernel_region {
	struct inode inode;
	struct dentry *dentry;
	u64 id;
	struct rb_node id_link;
	u32 flags;
	atomic_t users;
	atomic_t holds;
	const char *name;
	unsigned int name_len;
	struct rb_node name_link;
	pgoff_t nr_pages;
	pgoff_t first_pmd;
	struct shm_folio_table __rcu *table;
	int numa_node;
	struct shm_user *user;
	u8 tag[SHM_KERNEL_TAG_SIZE];
	u32 seals;
	struct shm_map map;
	unsigned long nr_maps;
	atomic64_t rings;
	atomic_t happened[SHM_NR_EVENTS];
	wait_queue_head_t wait;
	struct irq_work wake;
	bool had_clients;
	struct mutex clients_lock;	/* before i_rwsem */
	struct list_head clients;
};

/**
 * struct shm_kernel_client - a module that is attached to a region
 * @region: the region, held until the client detaches
 * @link: entry of the region's clients
 * @ops: what to call; never after shm_kernel_detach()
 * @data: the module's
 * @due: bits of SHM_DUE_*: what has happened since the operation was called
 * @work: calls the operations that are due
 * @rcu: frees it, for those who ring walk the list under RCU
 */
struct shm_kernel_client {
	struct shm_kernel_region *region;
	struct list_head link;
	const struct shm_kernel_client_ops *ops;
	void *data;
	unsigned long due;
	struct work_struct work;
	struct rcu_head rcu;
};

/* Bits of @due. */
#define SHM_DUE_KICK		0
#define SHM_DUE_PEERS_CHANGED	1
#define SHM_DUE_REVOKED		2

/**
 * struct shm_event_file - one peer of a region in user space
 * @region: the region, held while the file is open
 * @rings: the region's rings that this peer was told of, or rang itself. What it
 *	rings is added here before it is added to the region's, so that the
 *	difference may be too small for a moment, never too large.
 * @seen: the region's events that it was told of
 * @lock: lets one reader at a time take events
 */
struct shm_event_file {
	struct shm_kernel_region *region;
	atomic64_t rings;
	u32 seen[SHM_NR_EVENTS];
	spinlock_t lock;	/* taken by who reads */
};

/**
 * struct shm_node - the device node of a boot region
 * @link: entry of shm_nodes, which only module init and exit touch
 * @misc: the node
 * @registered: whether @misc is
 * @region: the region, held until the module goes
 */
struct shm_node {
	struct list_head link;
	struct miscdevice misc;
	bool registered;
	struct shm_kernel_region *region;
};

static struct vfsmount *shm_mnt;
static struct kmem_cache *shm_region_cache;
static struct dentry *shm_debugfs;
static LIST_HEAD(shm_nodes);
static atomic_long_t shm_nr_files = ATOMIC_LONG_INIT(0);
static atomic_long_t shm_nr_peers = ATOMIC_LONG_INIT(0);
static atomic_long_t shm_nr_maps = ATOMIC_LONG_INIT(0);

/* Protects shm_regions, shm_nr_regions and shm_last_id. Outermost of the three. */
static DEFINE_MUTEX(shm_regions_lock);
static struct rb_root shm_regions = RB_ROOT;
static unsigned long shm_nr_regions;
static u64 shm_last_id;

/* Protects shm_names and the name of every region; d_path() takes it, so it spins. */
static DEFINE_SPINLOCK(shm_names_lock);
static struct rb_root shm_names = RB_ROOT;

/* Protects shm_users with what it holds, shm_nr_users and shm_nr_pages. */
static DEFINE_MUTEX(shm_account_lock);
static DEFINE_XARRAY(shm_users);
static unsigned long shm_nr_users;
static unsigned long shm_nr_pages;

static u64 shm_size = PAGE_SIZE;
static u64 shm_max_total;
static u64 shm_max_user;
static char *shm_boot_regions;

VISIBLE_IF_KUNIT int shm_parse_size(const char *text, u64 *size)
{
	char *end;

	if (!isdigit(*text))
		return -EINVAL;
	*size = memparse(text, &end);
	if (*end == '\n')
		end++;
	return *end ? -EINVAL : 0;
}
EXPORT_SYMBOL_IF_KUNIT(shm_parse_size);

static int shm_set_size_param(const char *text, const struct kernel_param *kp)
{
	u64 size;
	int ret;

	ret = shm_parse_size(text, &size);
	if (!ret)
		WRITE_ONCE(*(u64 *)kp->arg, size);
	return ret;
}

static int shm_get_size_param(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%llu\n", READ_ONCE(*(u64 *)kp->arg));
}

static const struct kernel_param_ops shm_size_param_ops = {
	.set	= shm_set_size_param,
	.get	= shm_get_size_param,
};

module_param_cb(size, &shm_size_param_ops, &shm_size, 0444);
MODULE_PARM_DESC(size, "Size of region 0 in bytes, K, M and G are understood (default: one page)");
module_param_named(regions, shm_boot_regions, charp, 0444);
MODULE_PARM_DESC(regions, "Regions to make at load: name:size[:contig][:small][:mode=0600],... (default: none)");
module_param_cb(max_total, &shm_size_param_ops, &shm_max_total, 0644);
MODULE_PARM_DESC(max_total, "Most bytes of all regions together (default: 0, half of the memory)");
module_param_cb(max_user, &shm_size_param_ops, &shm_max_user, 0644);
MODULE_PARM_DESC(max_user, "Most bytes of the regions one user created (default: 0, a quarter of the memory)");

static struct shm_kernel_region *shm_inode_region(const struct inode *inode)
{
	return container_of(inode, struct shm_kernel_region, inode);
}

/* For nodes too: f_mapping is the region's, whichever inode was opened. */
static struct shm_kernel_region *shm_file_region(const struct file *file)
{
	return shm_inode_region(file->f_mapping->host);
}

static bool shm_revoked(const struct shm_kernel_region *region)
{
	return READ_ONCE(region->flags) & SHM_KERNEL_INFO_REVOKED;
}

static pgoff_t shm_size_to_pages(loff_t size)
{
	return DIV_ROUND_UP_ULL(size, PAGE_SIZE);
}

/*
 * Accounting: every page in a page cache of ours is charged to the module's
 * total and to the user who created the region.
 */

static struct shm_user *shm_user_get(kuid_t uid)
{
	unsigned long key = __kuid_val(uid);
	struct shm_user *user;
	int err;

	guard(mutex)(&shm_account_lock);
	user = xa_load(&shm_users, key);
	if (!user) {
		user = kzalloc_obj(*user, GFP_KERNEL_ACCOUNT);
		if (!user)
			return NULL;
		user->uid = uid;
		err = xa_err(xa_store(&shm_users, key, user, GFP_KERNEL));
		if (err) {
			kfree(user);
			return NULL;
		}
		shm_nr_users++;
	}
	user->regions++;
	return user;
}

static void shm_user_put(struct shm_user *user)
{
	guard(mutex)(&shm_account_lock);
	if (--user->regions)
		return;
	xa_erase(&shm_users, __kuid_val(user->uid));
	shm_nr_users--;
	kfree(user);
}

static unsigned long shm_limit(const u64 *param, unsigned int fraction)
{
	u64 bytes = READ_ONCE(*param);

	return bytes ? min_t(u64, bytes >> PAGE_SHIFT, ULONG_MAX) :
		       totalram_pages() / fraction;
}

static int shm_charge(struct shm_user *user, unsigned long pages)
{
	guard(mutex)(&shm_account_lock);
	if ((shm_nr_pages + pages > shm_limit(&shm_max_total, 2) ||
	     user->pages + pages > shm_limit(&shm_max_user, 4)) &&
	    !capable(CAP_SYS_RESOURCE))
		return -ENOSPC;
	shm_nr_pages += pages;
	user->pages += pages;
	return 0;
}

static void shm_uncharge(struct shm_user *user, unsigned long pages)
{
	guard(mutex)(&shm_account_lock);
	shm_nr_pages -= pages;
	user->pages -= pages;
}

/*
 * Events: the region counts, and each peer remembers how far it was told. So
 * nothing is lost and nothing grows, however many there are and however long
 * one of them does not read.
 */

/* Marks the clients that are to be told. May be called in any context. */
static bool shm_mark_clients(struct shm_kernel_region *region,
			     const struct shm_kernel_client *except, int due)
{
	struct shm_kernel_client *client;
	bool any = false;

	if (list_empty(&region->clients))
		return false;
	guard(rcu)();
	list_for_each_entry_rcu(client, &region->clients, link) {
		if (client == except)
			continue;
		set_bit(due, &client->due);
		any = true;
	}
	return any;
}

/* Has those told that are marked. Not in NMI context. */
static void shm_queue_clients(struct shm_kernel_region *region)
{
	struct shm_kernel_client *client;

	guard(rcu)();
	list_for_each_entry_rcu(client, &region->clients, link)
		if (READ_ONCE(client->due))
			queue_work(system_dfl_wq, &client->work);
}

static void shm_tell_client(struct work_struct *work)
{
	struct shm_kernel_client *client =
		container_of(work, struct shm_kernel_client, work);
	const struct shm_kernel_client_ops *ops = client->ops;

	/* Cleared first: what happens from here on is told once more. */
	if (test_and_clear_bit(SHM_DUE_PEERS_CHANGED, &client->due) &&
	    ops->peers_changed)
		ops->peers_changed(client);
	if (test_and_clear_bit(SHM_DUE_KICK, &client->due) && ops->kick)
		ops->kick(client);
	if (test_and_clear_bit(SHM_DUE_REVOKED, &client->due) && ops->revoked)
		ops->revoked(client);
}

#define SHM_POLL_EVENTS	(EPOLLIN | EPOLLRDNORM)

/* Everybody: the waiters of one peer must not stand in for those of another. */
static void shm_wake_up(struct shm_kernel_region *region, __poll_t mask)
{
	__wake_up(&region->wait, TASK_NORMAL, 0, poll_to_key(mask));
}

static void shm_wake(struct irq_work *wake)
{
	struct shm_kernel_region *region =
		container_of(wake, struct shm_kernel_region, wake);

	shm_wake_up(region, SHM_POLL_EVENTS);
	shm_queue_clients(region);
}

/* Return: how often it has happened, this time included. */
static u32 shm_happen(struct shm_kernel_region *region, enum shm_event event)
{
	/* Fully ordered: who sees the count sees what it is about. */
	u32 count = atomic_inc_return(&region->happened[event]);

	/* Nor can the look at who waits come before it; see prepare_to_wait(). */
	if (wq_has_sleeper(&region->wait))
		shm_wake_up(region, event == SHM_WAS_REVOKED ?
				    SHM_POLL_EVENTS | EPOLLHUP : SHM_POLL_EVENTS);
	return count;
}

static u32 shm_count_peers(const struct shm_kernel_region *region)
{
	u32 went = atomic_read(&region->happened[SHM_PEER_WENT]);

	/* In this order nobody is seen to go who was not seen to come. */
	smp_rmb();
	return atomic_read(&region->happened[SHM_PEER_CAME]) - went;
}

static u32 shm_peer_event(struct shm_kernel_region *region,
			  const struct shm_kernel_client *client, bool came)
{
	u32 count = shm_happen(region, came ? SHM_PEER_CAME : SHM_PEER_WENT);

	atomic_long_add(came ? 1 : -1, &shm_nr_peers);
	trace_shm_kernel_peer(region->id, came, client, shm_count_peers(region));
	if (shm_mark_clients(region, client, SHM_DUE_PEERS_CHANGED))
		shm_queue_clients(region);
	return count;
}

/*
 * Memory: folios are allocated and zeroed when the size is set, and the region
 * keeps the reference of the allocation as long as a folio is in the page
 * cache. The reference, together with the mapping being unevictable, is what
 * keeps reclaim, migration, splitting and collapse away from them.
 */

/* The order of the folio to try first at @index when pages up to @end are wanted. */
VISIBLE_IF_KUNIT unsigned int shm_folio_order(pgoff_t index, pgoff_t end,
					      unsigned int limit)
{
	unsigned int order = min_t(unsigned int, ilog2(end - index), limit);

	return index ? min_t(unsigned int, order, __ffs(index)) : order;
}
EXPORT_SYMBOL_IF_KUNIT(shm_folio_order);

/*
 * The order to try when @order could not be had, or -1. Mapping 16 pages at a
 * time is already ten times cheaper than one by one, so when memory is
 * fragmented it is worth to look for these before giving in to single pages.
 */
VISIBLE_IF_KUNIT int shm_next_order(unsigned int order)
{
	if (order > 6)
		return 6;
	if (order > 4)
		return 4;
	return order ? 0 : -1;
}
EXPORT_SYMBOL_IF_KUNIT(shm_next_order);

/*
 * Only single pages may wait for reclaim; none may wake the OOM killer, which
 * could not free what is in regions. The same flags go to filemap_add_folio(),
 * so that a full memory cgroup is ENOMEM as well.
 */
static gfp_t shm_gfp(unsigned int order)
{
	return GFP_USER | __GFP_ZERO | __GFP_NOWARN |
	       (order ? __GFP_NORETRY : __GFP_RETRY_MAYFAIL);
}

static int shm_add_folio(struct shm_kernel_region *region, struct folio *folio,
			 gfp_t gfp)
{
	int err;

	__folio_mark_uptodate(folio);
	err = filemap_add_folio(region->inode.i_mapping, folio,
				region->nr_pages, gfp);
	if (err)
		return err;
	if (folio_order(folio) == PMD_ORDER)
		region->first_pmd = min(region->first_pmd, region->nr_pages);
	region->nr_pages += folio_nr_pages(folio);
	folio_unlock(folio);
	return 0;
}

static unsigned int shm_max_order(const struct shm_kernel_region *region)
{
	if (region->flags & SHM_KERNEL_INFO_SMALL)
		return 0;
	return min_t(unsigned int, PMD_ORDER,
		     mapping_max_folio_order(region->inode.i_mapping));
}

/*
 * One folio, as large as can be had, at the end of the page cache. @limit comes
 * down to an order that can be had: where there is not one folio of 2 MiB, there
 * are seldom more.
 */
static int shm_add_largest(struct shm_kernel_region *region, pgoff_t end,
			   unsigned int *limit)
{
	int order = shm_folio_order(region->nr_pages, end, *limit);
	int err;

	do {
		gfp_t gfp = shm_gfp(order);
		struct folio *folio;

		if (region->numa_node == NUMA_NO_NODE)
			folio = folio_alloc(gfp, order);
		else
			folio = __folio_alloc_node(gfp, order, region->numa_node);
		if (folio) {
			err = shm_add_folio(region, folio, gfp);
			if (!err)
				return 0;
			folio_put(folio);
		}
		order = shm_next_order(order);
		*limit = order;
	} while (order >= 0);

	return -ENOMEM;
}

static struct page *shm_alloc_contig(unsigned long pages, int node)
{
	unsigned int order = get_order(pages << PAGE_SHIFT);
	struct page *page;
	unsigned long i;

	if (node == NUMA_NO_NODE)
		node = numa_mem_id();

	if (order <= MAX_PAGE_ORDER) {
		/* As for a single page: there is nothing to fall back on. */
		page = alloc_pages_node(node, shm_gfp(0), order);
		if (!page)
			return NULL;
		split_page(page, order);
		for (i = pages; i < 1UL << order; i++)
			__free_page(page + i);
		return page;
	}

#ifdef CONFIG_CONTIG_ALLOC
	page = alloc_contig_pages(pages, GFP_USER | __GFP_NOWARN, node, NULL);
	for (i = 0; page && i < pages; i++)
		clear_highpage(page + i);
	return page;
#else
	return NULL;
#endif
}

static int shm_add_contig(struct shm_kernel_region *region, pgoff_t end)
{
	unsigned long pages = end - region->nr_pages, i;
	struct page *page;
	int err = 0;

	page = shm_alloc_contig(pages, region->numa_node);
	if (!page)
		return -ENOMEM;

	for (i = 0; i < pages && !err; i++)
		err = shm_add_folio(region, page_folio(page + i), shm_gfp(0));
	if (!err)
		return 0;

	/* The page that failed and those after it are still only ours. */
	for (i--; i < pages; i++)
		__free_page(page + i);
	return -ENOMEM;
}

/* The page cache's part of the bargain: see shm_add_folio() for the other. */
static void shm_free_folio(struct folio *folio)
{
	folio_put(folio);
}

static int shm_migrate_folio(struct address_space *mapping, struct folio *dst,
			     struct folio *src, enum migrate_mode mode)
{
	return -EBUSY;
}

static const struct address_space_operations shm_aops = {
	.dirty_folio	= noop_dirty_folio,
	.free_folio	= shm_free_folio,
	.migrate_folio	= shm_migrate_folio,
};

static struct shm_folio_table *shm_table(struct shm_kernel_region *region)
{
	return rcu_dereference_protected(region->table, true);
}

/* Adds the folios from the end of @table on, as many as it takes. */
static void shm_fill_table(struct shm_kernel_region *region,
			   struct shm_folio_table *table)
{
	unsigned int order = table->shift - PAGE_SHIFT;
	XA_STATE(xas, &region->inode.i_mapping->i_pages, table->nr << order);
	struct folio *folio;
	pgoff_t nr = table->nr;

	rcu_read_lock();
	xas_for_each(&xas, folio, region->nr_pages - 1) {
		pgoff_t end = folio_next_index(folio) >> order;

		if (folio_order(folio) < order)
			break;
		while (nr < end)
			table->folios[nr++] = folio;
		/* Not by way of the siblings of a large one. */
		if (folio_test_large(folio))
			xas_set(&xas, folio_next_index(folio));
		if (need_resched()) {
			xas_pause(&xas);
			cond_resched_rcu();
		}
	}
	rcu_read_unlock();
	/* The entries before their number. */
	smp_store_release(&table->nr, nr);
}

/*
 * Looking a folio up in the page cache takes a third of the instructions of a
 * small read, in this table a tenth. It doubles when it is full, so that adding
 * to a region bit by bit does not mean copying all of it each time.
 */
static int shm_grow_table(struct shm_kernel_region *region)
{
	struct shm_folio_table *table, *old = shm_table(region);
	struct folio *first = xa_load(&region->inode.i_mapping->i_pages, 0);
	unsigned int order = first ? folio_order(first) : 0;
	pgoff_t max = region->nr_pages >> order;

	if (old && old->shift == order + PAGE_SHIFT) {
		if (max <= old->max) {
			shm_fill_table(region, old);
			return 0;
		}
		max = max(max, 2 * old->max);
	}

	table = kvmalloc(struct_size(table, folios, max), GFP_KERNEL_ACCOUNT |
			 __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	if (!table)
		return -ENOMEM;
	table->shift = order + PAGE_SHIFT;
	table->max = max;
	table->nr = 0;
	shm_fill_table(region, table);

	rcu_assign_pointer(region->table, table);
	if (old)
		kvfree_rcu(old, rcu);
	return 0;
}

static void shm_shrink_table(struct shm_kernel_region *region, pgoff_t end)
{
	struct shm_folio_table *table = shm_table(region);

	if (table)
		WRITE_ONCE(table->nr, min(table->nr, end >> (table->shift - PAGE_SHIFT)));
}

static void shm_set_nr_pages(struct shm_kernel_region *region, pgoff_t nr_pages)
{
	region->nr_pages = nr_pages;
	if (nr_pages <= region->first_pmd)
		region->first_pmd = ULONG_MAX;
	region->inode.i_blocks = (blkcnt_t)nr_pages << (PAGE_SHIFT - SECTOR_SHIFT);
}

/* Frees the folios from @end, which is where one of them starts, on. */
static void shm_remove_folios(struct shm_kernel_region *region, pgoff_t end)
{
	pgoff_t old = region->nr_pages;

	shm_shrink_table(region, end);
	truncate_inode_pages_range(region->inode.i_mapping,
				   (loff_t)end << PAGE_SHIFT, -1);
	shm_set_nr_pages(region, end);
	shm_uncharge(region->user, old - end);
}

static int shm_add_folios(struct shm_kernel_region *region, pgoff_t end)
{
	unsigned int limit = shm_max_order(region);
	pgoff_t old = region->nr_pages;
	int err;

	if (end <= old)
		return 0;
	/* Spares the machine a long search for memory that it cannot have. */
	if (end - old > totalram_pages())
		return -ENOMEM;
	err = shm_charge(region->user, end - old);
	if (err)
		return err;

	while (!err && region->nr_pages < end) {
		if (fatal_signal_pending(current))
			err = -EINTR;
		else if (region->flags & SHM_KERNEL_INFO_CONTIG)
			err = shm_add_contig(region, end);
		else
			err = shm_add_largest(region, end, &limit);
		cond_resched();
	}
	if (!err)
		err = shm_grow_table(region);
	if (err) {
		shm_uncharge(region->user, end - region->nr_pages);
		shm_remove_folios(region, old);
		return err;
	}
	shm_set_nr_pages(region, end);
	return 0;
}

/* Zeroes [@start, @end) of a region of which no page in that range goes away. */
static void shm_zero(struct shm_kernel_region *region, loff_t start, loff_t end)
{
	while (start < end) {
		struct folio *folio = filemap_get_folio(region->inode.i_mapping,
							start >> PAGE_SHIFT);
		size_t offset, len;

		if (WARN_ON_ONCE(IS_ERR(folio)))
			return;
		offset = offset_in_folio(folio, start);
		len = min_t(loff_t, folio_size(folio) - offset, end - start);
		folio_zero_range(folio, offset, len);
		folio_put(folio);
		start += len;
		cond_resched();
	}
}

static int shm_grow(struct shm_kernel_region *region, loff_t size)
{
	struct inode *inode = &region->inode;
	loff_t filled = (loff_t)region->nr_pages << PAGE_SHIFT;
	int err;

	err = shm_add_folios(region, shm_size_to_pages(size));
	if (err)
		return err;
	/*
	 * Whatever stores through a mapping left behind the end in its last
	 * page, or through a pin in the rest of a folio, was never content.
	 */
	shm_zero(region, i_size_read(inode), min(size, filled));
	/* Last: from here on the new pages can be seen. */
	i_size_write(inode, size);
	return 0;
}

/*
 * The folio that the new end lies in stays whole, for what lies below the end
 * must not be lost and a folio with our reference on it cannot be split; its
 * rest becomes invisible and is zeroed. Folios behind it go.
 *
 * A fault may have looked at the size before we took the invalidate lock and
 * map its page only now. It does so with the folio locked, so once we have had
 * that lock, too, no page behind the end is yet to be mapped.
 */
static void shm_shrink(struct shm_kernel_region *region, loff_t size, bool even_cows)
{
	struct inode *inode = &region->inode;
	struct address_space *mapping = inode->i_mapping;
	loff_t hole = round_up(size, PAGE_SIZE);
	pgoff_t end = 0;

	filemap_invalidate_lock(mapping);
	i_size_write(inode, size);
	if (size) {
		struct folio *folio = filemap_lock_folio(mapping,
							 (size - 1) >> PAGE_SHIFT);

		if (!WARN_ON_ONCE(IS_ERR(folio))) {
			size_t offset = offset_in_folio(folio, size - 1) + 1;

			unmap_mapping_range(mapping, hole, 0, even_cows);
			folio_zero_range(folio, offset,
					 folio_size(folio) - offset);
			end = folio_next_index(folio);
			folio_unlock(folio);
			folio_put(folio);
		}
	} else {
		unmap_mapping_range(mapping, 0, 0, even_cows);
	}
	shm_remove_folios(region, end);
	/* Private copies may have been made until the folios were gone. */
	unmap_mapping_range(mapping, hole, 0, even_cows);
	filemap_invalidate_unlock(mapping);
}

static int shm_resize(struct shm_kernel_region *region, loff_t size)
{
	struct inode *inode = &region->inode;
	loff_t old = i_size_read(inode);
	int err = 0;

	lockdep_assert_held_write(&inode->i_rwsem);

	if (shm_revoked(region))
		return -ENODEV;
	if (size == old)
		return 0;
	if (region->flags & (SHM_KERNEL_INFO_BOOT | SHM_KERNEL_INFO_CONTIG) ||
	    region->seals & (size > old ? SHM_KERNEL_SEAL_GROW :
					  SHM_KERNEL_SEAL_SHRINK))
		return -EPERM;
	if (region->nr_maps)
		return -EBUSY;
	if (size > old)
		err = shm_grow(region, size);
	else
		shm_shrink(region, size, true);
	if (!err)
		shm_happen(region, SHM_RESIZED);
	return err;
}

/* Whether nobody can begin to write any more. */
static bool shm_write_sealed(const struct shm_kernel_region *region)
{
	return READ_ONCE(region->seals) & SHM_WRITE_SEALS;
}

/*
 * Besides the page cache and the page tables the region has one reference, and
 * there is one for who has taken the folio off the LRU list or is about to put
 * it there. Who writes or has a pin has another.
 */
static bool shm_folio_in_use(const struct folio *folio)
{
	return folio_ref_count(folio) > folio_expected_ref_count(folio) + 1 +
					!folio_test_lru(folio);
}

/* Return: 0 once nobody can write who began before the seal, -EBUSY, or -EINTR. */
static int shm_wait_for_writers(struct shm_kernel_region *region)
{
	unsigned int wait_ms = 5;
	pgoff_t index = 0;

	while (index < region->nr_pages) {
		struct folio *folio = xa_load(&region->inode.i_mapping->i_pages,
					      index);

		/* It stays: only who holds i_rwsem can remove folios. */
		if (!shm_folio_in_use(folio)) {
			index = folio_next_index(folio);
			cond_resched();
			continue;
		}
		if (wait_ms > 80)
			return -EBUSY;
		if (schedule_timeout_killable(msecs_to_jiffies(wait_ms)))
			return -EINTR;
		wait_ms *= 2;
	}
	return 0;
}

/* As on a memfd: there must be no writable mapping, and writes and pins end soon. */
static int shm_seal_writes(struct shm_kernel_region *region)
{
	struct address_space *mapping = region->inode.i_mapping;
	u32 seals = region->seals;
	int err;

	if (region->nr_maps)
		return -EBUSY;
	err = mapping_deny_writable(mapping);
	if (err)
		return err;
	WRITE_ONCE(region->seals, seals | SHM_KERNEL_SEAL_WRITE);
	/*
	 * Pairs with folio_try_get() in shm_copy(): either that sees the seal
	 * or we see its reference.
	 */
	smp_mb();
	err = shm_wait_for_writers(region);
	if (err)
		WRITE_ONCE(region->seals, seals);
	/* From here on shm_check_write_seal() tells who may map. */
	mapping_allow_writable(mapping);
	return err;
}

static int shm_add_seals(struct shm_kernel_region *region, u32 seals)
{
	struct inode *inode = &region->inode;
	int err = 0;

	if (seals & ~SHM_SEALS)
		return -EINVAL;

	inode_lock(inode);
	if (shm_revoked(region))
		err = -ENODEV;
	else if (region->seals & SHM_KERNEL_SEAL_SEAL)
		err = -EPERM;
	else if (seals & ~region->seals & SHM_KERNEL_SEAL_WRITE)
		err = shm_seal_writes(region);
	if (!err)
		WRITE_ONCE(region->seals, region->seals | seals);
	inode_unlock(inode);
	if (!err)
		shm_happen(region, SHM_SEALED);
	return err;
}

static void shm_put_word(struct shm_kernel_region *region, loff_t pos, u32 word)
{
	struct folio *folio;

	if (pos + sizeof(word) > i_size_read(&region->inode))
		return;
	folio = filemap_get_folio(region->inode.i_mapping, pos >> PAGE_SHIFT);
	if (WARN_ON_ONCE(IS_ERR(folio)))
		return;
	memcpy(folio_address(folio) + offset_in_folio(folio, pos), &word,
	       sizeof(word));
	folio_put(folio);
}

static bool shm_is_region0(const struct shm_kernel_region *region)
{
	return region->id == 1;
}

/* The content that RESET brings back; the caller has zeroed the region. */
static void shm_put_initial_content(struct shm_kernel_region *region)
{
	if (!shm_is_region0(region))
		return;
	shm_put_word(region, 0, SHM_WORD_0);
	shm_put_word(region, 0x100, SHM_WORD_0X100);
}

/*
 * Names: a name belongs to a region only while the region has users. The table
 * itself keeps nothing alive.
 */

/*
 * A hold makes the region, and with it its name, live without a file: that of a
 * boot region, a persistent region, or an OPEN under way.
 */
static void shm_hold(struct shm_kernel_region *region)
{
	/*
	 * In this order: a user gives up its reference on the dentry only after
	 * it no longer counts, and the last cannot stop counting while
	 * shm_names_lock is held. Once we count, it can.
	 */
	dget(region->dentry);
	atomic_inc(&region->users);
	atomic_inc(&region->holds);
}

static void shm_unlink_name(struct shm_kernel_region *region)
{
	lockdep_assert_held(&shm_names_lock);

	trace_shm_kernel_remove(region->id, region->name, region->name_len);
	rb_erase(&region->name_link, &shm_names);
	kfree(region->name);
	region->name = NULL;
	region->name_len = 0;
	WRITE_ONCE(region->flags, region->flags | SHM_KERNEL_INFO_REMOVED);
}

static void shm_leave(struct shm_kernel_region *region)
{
	if (!atomic_dec_and_lock(&region->users, &shm_names_lock))
		return;
	if (region->name)
		shm_unlink_name(region);
	spin_unlock(&shm_names_lock);
}

static void shm_unhold(struct shm_kernel_region *region)
{
	struct dentry *dentry = region->dentry;

	atomic_dec(&region->holds);
	shm_leave(region);
	dput(dentry);
}

static int shm_compare_names(const char *a, unsigned int a_len,
			     const char *b, unsigned int b_len)
{
	int order = memcmp(a, b, min(a_len, b_len));

	return order ?: (int)a_len - (int)b_len;
}

static struct shm_kernel_region *shm_name_entry(const struct rb_node *node)
{
	return rb_entry(node, struct shm_kernel_region, name_link);
}

static int shm_cmp_nodes(struct rb_node *node, const struct rb_node *other)
{
	const struct shm_kernel_region *a = shm_name_entry(node);
	const struct shm_kernel_region *b = shm_name_entry(other);

	return shm_compare_names(a->name, a->name_len, b->name, b->name_len);
}

static int shm_cmp_key(const void *key, const struct rb_node *node)
{
	const struct qstr *name = key;
	const struct shm_kernel_region *region = shm_name_entry(node);

	return shm_compare_names(name->name, name->len, region->name,
				 region->name_len);
}

/* Return: the region of that name with a hold on it, or NULL. */
static struct shm_kernel_region *shm_find(const struct qstr *name)
{
	struct shm_kernel_region *region;
	struct rb_node *node;

	guard(spinlock)(&shm_names_lock);
	node = rb_find(name, &shm_names, shm_cmp_key);
	if (!node)
		return NULL;
	region = shm_name_entry(node);
	shm_hold(region);
	return region;
}

/* The region gets a hold if it is to live without files. */
static int shm_bind(struct shm_kernel_region *region, const struct qstr *name)
{
	char *text __free(kfree) = kmemdup(name->name, name->len,
					   GFP_KERNEL_ACCOUNT);
	if (!text)
		return -ENOMEM;

	guard(spinlock)(&shm_names_lock);

	if (region->flags & SHM_KERNEL_INFO_REVOKED)
		return -ENODEV;
	if (region->name || region->flags & SHM_KERNEL_INFO_REMOVED)
		return -EINVAL;
	region->name = text;
	region->name_len = name->len;
	if (rb_find_add(&region->name_link, &shm_names, shm_cmp_nodes)) {
		region->name = NULL;
		region->name_len = 0;
		return -EEXIST;
	}
	retain_and_null_ptr(text);
	trace_shm_kernel_bind(region->id, name->name, name->len);
	if (region->flags & (SHM_KERNEL_INFO_PERSIST | SHM_KERNEL_INFO_BOOT))
		shm_hold(region);
	return 0;
}

/* Return: whether the region had a name. */
static bool shm_unbind(struct shm_kernel_region *region)
{
	scoped_guard(spinlock, &shm_names_lock) {
		if (!region->name)
			return false;
		shm_unlink_name(region);
	}
	if (region->flags & (SHM_KERNEL_INFO_PERSIST | SHM_KERNEL_INFO_BOOT))
		shm_unhold(region);
	return true;
}

VISIBLE_IF_KUNIT int shm_check_name(const char *name, size_t len)
{
	size_t i;

	if (!len)
		return -EINVAL;
	if (len > SHM_KERNEL_NAME_MAX)
		return -ENAMETOOLONG;
	for (i = 0; i < len; i++)
		if (name[i] == '/' || !name[i])
			return -EINVAL;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return -EINVAL;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(shm_check_name);

/* Copies a name from user space into @text, SHM_KERNEL_NAME_MAX bytes, and checks it. */
static int shm_copy_name(char *text, u64 addr, u32 len)
{
	if (!len)
		return -EINVAL;
	if (len > SHM_KERNEL_NAME_MAX)
		return -ENAMETOOLONG;
	if (copy_from_user(text, u64_to_user_ptr(addr), len))
		return -EFAULT;
	return shm_check_name(text, len);
}

/*
 * Regions: created whole, then visible.
 */

static struct inode *shm_alloc_inode(struct super_block *sb)
{
	struct shm_kernel_region *region;

	region = alloc_inode_sb(sb, shm_region_cache, GFP_KERNEL);
	if (!region)
		return NULL;
	memset_after(region, 0, inode);
	RB_CLEAR_NODE(&region->id_link);
	region->first_pmd = ULONG_MAX;
	region->numa_node = NUMA_NO_NODE;
	init_waitqueue_head(&region->wait);
	init_irq_work(&region->wake, shm_wake);
	mutex_init(&region->clients_lock);
	INIT_LIST_HEAD(&region->clients);
	return &region->inode;
}

static void shm_free_inode(struct inode *inode)
{
	kmem_cache_free(shm_region_cache, shm_inode_region(inode));
}

/* For who asks for it by dynamic debug. */
static void shm_dump(struct shm_kernel_region *region)
{
	struct folio *folio = xa_load(&region->inode.i_mapping->i_pages, 0);
	size_t len = min_t(loff_t, i_size_read(&region->inode), SHM_DUMP_BYTES);

	pr_debug("region %llu ends\n", region->id);
	if (folio)
		print_hex_dump_debug(SHM_NAME ": ", DUMP_PREFIX_OFFSET, 16, 4,
				     folio_address(folio), len, true);
}

static void shm_evict_inode(struct inode *inode)
{
	struct shm_kernel_region *region = shm_inode_region(inode);

	/* Somebody forgot shm_kernel_vunmap(). */
	WARN_ON_ONCE(region->nr_maps);
	if (!RB_EMPTY_NODE(&region->id_link)) {
		shm_dump(region);
		guard(mutex)(&shm_regions_lock);
		rb_erase(&region->id_link, &shm_regions);
		shm_nr_regions--;
	}
	/* Can take a grace period, which regions without clients are spared. */
	if (region->had_clients)
		irq_work_sync(&region->wake);
	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
	kvfree(shm_table(region));
	if (region->user) {
		shm_uncharge(region->user, region->nr_pages);
		shm_user_put(region->user);
	}
}

static const struct super_operations shm_super_ops = {
	.alloc_inode	= shm_alloc_inode,
	.free_inode	= shm_free_inode,
	.evict_inode	= shm_evict_inode,
	.statfs		= simple_statfs,
};

/* What /proc/PID/maps, /proc/PID/fd and error messages show. */
static char *shm_dname(struct dentry *dentry, char *buffer, int buflen)
{
	const struct shm_kernel_region *region = shm_inode_region(d_inode(dentry));
	static const char prefix[] = "/" SHM_NAME ":";
	char *pos = buffer + buflen;

	guard(spinlock)(&shm_names_lock);
	if (buflen < sizeof(prefix) + region->name_len)
		return ERR_PTR(-ENAMETOOLONG);
	*--pos = '\0';
	pos -= region->name_len;
	memcpy(pos, region->name, region->name_len);
	pos -= sizeof(prefix) - 1;
	return memcpy(pos, prefix, sizeof(prefix) - 1);
}

static const struct dentry_operations shm_dentry_ops = {
	.d_dname	= shm_dname,
};

static int shm_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx;

	ctx = init_pseudo(fc, SHM_MAGIC);
	if (!ctx)
		return -ENOMEM;
	ctx->ops = &shm_super_ops;
	ctx->dops = &shm_dentry_ops;
	return 0;
}

/* Without .owner: the mount lives as long as the module and must not pin it. */
static struct file_system_type shm_fs_type = {
	.name			= SHM_NAME,
	.init_fs_context	= shm_init_fs_context,
	.kill_sb		= kill_anon_super,
};

static int shm_setattr(struct mnt_idmap *idmap, struct dentry *dentry,
		       struct iattr *attr)
{
	struct inode *inode = d_inode(dentry);
	int err;

	err = setattr_prepare(idmap, dentry, attr);
	if (err)
		return err;
	if (attr->ia_valid & ATTR_SIZE) {
		err = shm_resize(shm_inode_region(inode), attr->ia_size);
		if (err)
			return err;
	}
	setattr_copy(idmap, inode, attr);
	return 0;
}

static const struct inode_operations shm_iops = {
	.setattr	= shm_setattr,
};

static const struct file_operations shm_region_fops;

/*
 * Return: a region with its memory and one reference on its dentry, which
 * nobody else can see yet, or an error.
 */
static struct shm_kernel_region *shm_create(loff_t size, umode_t mode,
					    u32 flags, int numa_node)
{
	struct inode *inode;
	struct shm_kernel_region *region;
	struct dentry *dentry;
	int err = -ENOMEM;

	inode = new_inode(shm_mnt->mnt_sb);
	if (!inode)
		return ERR_PTR(-ENOMEM);
	inode->i_ino = get_next_ino();
	inode_init_owner(&nop_mnt_idmap, inode, NULL, S_IFREG | mode);
	simple_inode_init_ts(inode);
	/* No link: or marks of inotify would outlive the last file. */
	clear_nlink(inode);
	/* Stores do not change the times, so writes do not either. */
	inode->i_flags |= S_NOCMTIME;
	inode->i_op = &shm_iops;
	inode->i_fop = &shm_region_fops;
	inode->i_mapping->a_ops = &shm_aops;
	mapping_set_gfp_mask(inode->i_mapping, GFP_USER);
	mapping_set_unevictable(inode->i_mapping);
	mapping_set_large_folios(inode->i_mapping);

	region = shm_inode_region(inode);
	region->flags = flags;
	region->numa_node = numa_node;
	region->user = shm_user_get(current_fsuid());
	if (!region->user)
		goto err_inode;
	/* Even an empty region has a table, if an empty one. */
	err = size ? shm_add_folios(region, shm_size_to_pages(size)) :
		     shm_grow_table(region);
	if (err)
		goto err_inode;
	i_size_write(inode, size);

	dentry = d_obtain_alias(inode);
	if (IS_ERR(dentry))
		return ERR_CAST(dentry);
	region->dentry = dentry;
	return region;

err_inode:
	iput(inode);
	return ERR_PTR(err);
}

static bool shm_id_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct shm_kernel_region, id_link)->id <
	       rb_entry(b, struct shm_kernel_region, id_link)->id;
}

static void shm_publish(struct shm_kernel_region *region)
{
	guard(mutex)(&shm_regions_lock);
	region->id = ++shm_last_id;
	rb_add(&region->id_link, &shm_regions, shm_id_less);
	shm_nr_regions++;
	trace_shm_kernel_create(region->id, i_size_read(&region->inode),
				region->flags);
}

static struct file *shm_open_file(struct shm_kernel_region *region, int flags)
{
	const struct path path = {
		.mnt = shm_mnt,
		.dentry = region->dentry,
	};

	return dentry_open(&path, flags | O_LARGEFILE, current_cred());
}

static bool shm_may_own(struct shm_kernel_region *region)
{
	return inode_owner_or_capable(&nop_mnt_idmap, &region->inode);
}

/*
 * Files
 */

static void shm_enter(struct shm_kernel_region *region, struct file *file)
{
	atomic_inc(&region->users);
	atomic_long_inc(&shm_nr_files);
	/* Nothing here waits for more than a page fault of the caller's own. */
	file->f_mode |= FMODE_NOWAIT;
	file_set_fsnotify_mode(file, FMODE_NONOTIFY);
}

static int shm_region_open(struct inode *inode, struct file *file)
{
	struct shm_kernel_region *region = shm_inode_region(inode);

	if (shm_revoked(region))
		return -ENODEV;
	shm_enter(region, file);
	return 0;
}

static int shm_release(struct inode *inode, struct file *file)
{
	atomic_long_dec(&shm_nr_files);
	shm_leave(shm_file_region(file));
	return 0;
}

/*
 * Return: the folio at @pos with a reference, if the table knows it. Whether it
 * is still the region's has to be looked at with the reference.
 */
static __always_inline struct folio *
shm_get_table_folio(const struct address_space *mapping, loff_t pos)
{
	const struct shm_kernel_region *region = shm_inode_region(mapping->host);
	const struct shm_folio_table *table;
	struct folio *folio = NULL;
	pgoff_t i;

	guard(rcu)();
	table = rcu_dereference(region->table);
	i = pos >> table->shift;
	/* The number before the entries: see shm_fill_table(). */
	if (likely(i < smp_load_acquire(&table->nr)))
		folio = table->folios[i];
	return likely(folio) && likely(folio_try_get(folio)) ? folio : NULL;
}

/* What reading or writing returns that starts at or behind the end, or must not. */
static noinline ssize_t shm_nothing_there(const struct kiocb *iocb,
					  const struct iov_iter *iter, bool write)
{
	if (!iov_iter_count(iter))
		return 0;
	if (shm_revoked(shm_file_region(iocb->ki_filp)))
		return -ENODEV;
	if (write && shm_write_sealed(shm_file_region(iocb->ki_filp)))
		return -EPERM;
	return write ? -ENOSPC : 0;
}

/*
 * Reading and writing hold a reference to one folio at a time and no lock: the
 * copy may wait for a page fault of the caller, and nothing must wait for that.
 * A folio that leaves the region meanwhile is still ours to copy, as if the
 * copy had come first.
 */
static __always_inline ssize_t shm_copy(struct kiocb *iocb, struct iov_iter *iter,
					bool write)
{
	loff_t pos = iocb->ki_pos;
	size_t len, copied;
	ssize_t done;

	do {
		struct address_space *mapping = iocb->ki_filp->f_mapping;
		struct folio *folio = shm_get_table_folio(mapping, pos);
		size_t size, offset;
		loff_t left;

		if (likely(folio)) {
			size = folio_size(folio);
			offset = pos & (size - 1);
			if (unlikely(READ_ONCE(folio->mapping) != mapping ||
				     folio->index != (pos - offset) >> PAGE_SHIFT)) {
				folio_put(folio);
				folio = NULL;
			}
		}
		if (unlikely(!folio)) {
			folio = filemap_get_folio(mapping, pos >> PAGE_SHIFT);
			if (IS_ERR(folio))
				goto end;
			size = folio_size(folio);
			offset = pos & (size - 1);
		}
		/* After the reference: see shm_seal_writes(). */
		if (write && unlikely(shm_write_sealed(shm_inode_region(mapping->host)))) {
			folio_put(folio);
			goto end;
		}
		if (folio_contain_hwpoisoned_page(folio)) {
			folio_put(folio);
			if (pos == iocb->ki_pos)
				return -EIO;
			break;
		}

		/* After the reference: a folio found late was found before this size. */
		left = i_size_read(mapping->host) - pos;
		len = min(iov_iter_count(iter), size - offset);
		if (unlikely((loff_t)len > left)) {
			if (left <= 0) {
				folio_put(folio);
				goto end;
			}
			len = left;
		}
		copied = write ?
			copy_from_iter(folio_address(folio) + offset, len, iter) :
			copy_to_iter(folio_address(folio) + offset, len, iter);
		folio_put(folio);
		pos += copied;
		cond_resched();
	} while (likely(copied == len) && unlikely(iov_iter_count(iter)));

	done = pos - iocb->ki_pos;
	if (unlikely(!done))
		return iov_iter_count(iter) ? -EFAULT : 0;
	iocb->ki_pos = pos;
	return done;

end:
	done = pos - iocb->ki_pos;
	iocb->ki_pos = pos;
	return done ?: shm_nothing_there(iocb, iter, write);
}

static ssize_t shm_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	return shm_copy(iocb, to, false);
}

static ssize_t shm_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	if (unlikely(iocb->ki_flags & IOCB_APPEND))
		iocb->ki_pos = i_size_read(iocb->ki_filp->f_mapping->host);
	return shm_copy(iocb, from, true);
}

/*
 * All pages are there, so mapping a whole page table of them costs less than
 * the next fault. filemap_map_pages() reads the size before it has a folio's
 * lock, so it must not run beside a shrink. That is why this is done here and
 * not in ->map_pages(), which cannot wait for a lock.
 */
static vm_fault_t shm_map_around(struct vm_fault *vmf)
{
	const struct vm_area_struct *vma = vmf->vma;
	pgoff_t before = min_t(pgoff_t, pte_index(vmf->address),
			       vmf->pgoff - vma->vm_pgoff);
	pgoff_t after = min_t(pgoff_t, PTRS_PER_PTE - pte_index(vmf->address),
			      vma->vm_pgoff + vma_pages(vma) - vmf->pgoff);

	return filemap_map_pages(vmf, vmf->pgoff - before, vmf->pgoff + after - 1);
}

/*
 * That it exists tells the core that ->fault() sleeps for nothing but locks, so
 * that faults can be handled under the lock of the mapping alone.
 */
static vm_fault_t shm_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	return 0;
}

static vm_fault_t shm_fault(struct vm_fault *vmf)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	bool copies = vmf->flags & FAULT_FLAG_WRITE &&
		      !(vmf->vma->vm_flags & VM_SHARED);
	bool around = !copies && !uffd_disable_fault_around(vmf->vma);
	struct folio *folio;
	vm_fault_t ret;

	filemap_invalidate_lock_shared(mapping);
	/*
	 * There is no dirty tracking, so pages around a write can be mapped
	 * like those around a read, unless the page is about to be copied.
	 */
	ret = around ? shm_map_around(vmf) : 0;
	if (ret & VM_FAULT_NOPAGE)
		goto out;

	ret = VM_FAULT_SIGBUS;
	if (vmf->pgoff >= shm_size_to_pages(i_size_read(mapping->host)))
		goto out;
	folio = filemap_lock_folio(mapping, vmf->pgoff);
	if (IS_ERR(folio))
		goto out;
	/* It is mapped with the folio still locked: see shm_shrink(). */
	vmf->page = folio_file_page(folio, vmf->pgoff);
	ret = VM_FAULT_LOCKED;
out:
	filemap_invalidate_unlock_shared(mapping);
	return ret;
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/* Spares allocating, and on unmap freeing, a page table for each PMD. */
static vm_fault_t shm_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	struct address_space *mapping = vma->vm_file->f_mapping;
	bool write = vmf->flags & FAULT_FLAG_WRITE;
	vm_fault_t ret = VM_FAULT_FALLBACK;
	struct folio *folio;

	if (order != PMD_ORDER || (write && !(vma->vm_flags & VM_SHARED)) ||
	    !thp_vma_suitable_order(vma, vmf->address & PMD_MASK, order))
		return VM_FAULT_FALLBACK;

	folio = filemap_lock_folio(mapping, vmf->pgoff);
	if (IS_ERR(folio))
		return VM_FAULT_FALLBACK;
	/* Under the folio's lock: see shm_shrink(). */
	if (folio_order(folio) == order && !folio_contain_hwpoisoned_page(folio) &&
	    folio_next_index(folio) <= shm_size_to_pages(i_size_read(mapping->host)))
		/* Only a PMD that is there can have to be made writable. */
		ret = vmf_insert_folio_pmd(vmf, folio,
					   write && pmd_trans_huge(*vmf->pmd));
	folio_unlock(folio);
	folio_put(folio);
	return ret;
}
#endif

static const struct vm_operations_struct shm_vm_ops = {
	.fault		= shm_fault,
	.map_pages	= shm_map_pages,
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	.huge_fault	= shm_huge_fault,
#endif
};

static void shm_set_vm_ops(struct vm_area_desc *desc)
{
	trace_shm_kernel_map(shm_file_region(desc->file)->id,
			     (u64)desc->pgoff << PAGE_SHIFT,
			     (u64)vma_desc_pages(desc) << PAGE_SHIFT);
	desc->vm_ops = &shm_vm_ops;
}

/* What the core does for a memfd; private copies are no writes. */
static int shm_check_write_seal(struct vm_area_desc *desc)
{
	if (!shm_write_sealed(shm_file_region(desc->file)) ||
	    !vma_desc_test(desc, VMA_SHARED_BIT))
		return 0;
	if (vma_desc_test(desc, VMA_WRITE_BIT))
		return -EPERM;
	/* Nor by mprotect() later. */
	vma_desc_clear_flags(desc, VMA_MAYWRITE_BIT);
	return 0;
}

/* A range behind the end of a region file is room to grow into, as on any file. */
static int shm_region_mmap_prepare(struct vm_area_desc *desc)
{
	int err;

	if (shm_revoked(shm_file_region(desc->file)))
		return -ENODEV;
	err = shm_check_write_seal(desc);
	if (err)
		return err;
	shm_set_vm_ops(desc);
	return 0;
}

VISIBLE_IF_KUNIT bool shm_node_range_ok(pgoff_t pgoff, unsigned long pages,
					loff_t size)
{
	pgoff_t end = shm_size_to_pages(size);

	return pgoff < end && pages <= end - pgoff;
}
EXPORT_SYMBOL_IF_KUNIT(shm_node_range_ok);

static int shm_node_mmap_prepare(struct vm_area_desc *desc)
{
	loff_t size = i_size_read(desc->file->f_mapping->host);
	int err;

	if (!shm_node_range_ok(desc->pgoff, vma_desc_pages(desc), size))
		return -EINVAL;
	err = shm_check_write_seal(desc);
	if (err)
		return err;
	shm_set_vm_ops(desc);
	return 0;
}

/* The tree of mappings says it, so that mapping itself has nothing to count. */
static u32 shm_count_mappings(struct shm_kernel_region *region)
{
	struct address_space *mapping = region->inode.i_mapping;
	struct rb_node *node;
	u32 count = 0;

	i_mmap_lock_read(mapping);
	for (node = rb_first_cached(&mapping->i_mmap); node; node = rb_next(node))
		count++;
	i_mmap_unlock_read(mapping);
	return count;
}

static u32 shm_count_clients(struct shm_kernel_region *region)
{
	struct shm_kernel_client *client;
	u32 count = 0;

	guard(rcu)();
	list_for_each_entry_rcu(client, &region->clients, link)
		count++;
	return count;
}

static u64 shm_capabilities(const struct shm_kernel_region *region)
{
	u64 caps = SHM_KERNEL_CAP_FUTEX | SHM_KERNEL_CAP_GUP;

	if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) &&
	    READ_ONCE(region->first_pmd) != ULONG_MAX)
		caps |= SHM_KERNEL_CAP_PMD;
	if (region->flags & SHM_KERNEL_INFO_CONTIG)
		caps |= SHM_KERNEL_CAP_CONTIG;
	if (!(region->flags & (SHM_KERNEL_INFO_BOOT | SHM_KERNEL_INFO_CONTIG |
			       SHM_KERNEL_INFO_REVOKED)) &&
	    ~READ_ONCE(region->seals) & (SHM_KERNEL_SEAL_GROW | SHM_KERNEL_SEAL_SHRINK))
		caps |= SHM_KERNEL_CAP_RESIZE;
	if (READ_ONCE(region->nr_maps))
		caps |= SHM_KERNEL_CAP_KERNEL_MAPPED;
	return caps;
}

static void shm_fill_info(struct shm_kernel_region *region, struct shm_kernel_info *info)
{
	const struct inode *inode = &region->inode;
	int holds;

	memset(info, 0, sizeof(*info));
	info->id = region->id;
	info->length = i_size_read(inode);
	info->allocated = (u64)READ_ONCE(region->nr_pages) << PAGE_SHIFT;
	info->capabilities = shm_capabilities(region);
	info->mode = inode->i_mode & 0777;
	info->uid = from_kuid_munged(current_user_ns(), inode->i_uid);
	info->gid = from_kgid_munged(current_user_ns(), inode->i_gid);
	info->mappings = shm_count_mappings(region);
	info->numa_node = region->numa_node;
	info->seals = READ_ONCE(region->seals);
	info->peers = shm_count_peers(region);
	info->clients = shm_count_clients(region);
	info->rings = atomic64_read(&region->rings);
	memcpy(info->tag, region->tag, sizeof(info->tag));
	/* Holds first: one that comes meanwhile must not look like a file gone. */
	holds = atomic_read(&region->holds);
	info->files = max(atomic_read(&region->users) - holds, 0);

	guard(spinlock)(&shm_names_lock);
	info->flags = region->flags;
	if (region->name) {
		info->name_len = region->name_len;
		memcpy(info->name, region->name, region->name_len);
	}
}

static void shm_show_name(struct seq_file *m, const struct shm_kernel_info *info)
{
	seq_escape_mem(m, info->name, info->name_len,
		       ESCAPE_SPACE | ESCAPE_SPECIAL | ESCAPE_NAP | ESCAPE_APPEND |
		       ESCAPE_OCTAL, "\\");
	seq_putc(m, '\n');
}

static void shm_show_region(struct seq_file *m, const struct shm_kernel_info *info)
{
	seq_printf(m, "shm_kernel-id:\t%llu\n", info->id);
	seq_puts(m, "shm_kernel-name:\t");
	shm_show_name(m, info);
	seq_printf(m, "shm_kernel-peers:\t%u\n", info->peers);
	seq_printf(m, "shm_kernel-clients:\t%u\n", info->clients);
	seq_printf(m, "shm_kernel-rings:\t%llu\n", info->rings);
}

static void shm_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct shm_kernel_region *region = shm_file_region(file);
	struct shm_kernel_info *info __free(kfree) = kmalloc_obj(*info);

	if (!info)
		return;
	shm_fill_info(region, info);
	shm_show_region(m, info);
	seq_printf(m, "shm_kernel-size:\t%llu\n", info->length);
	seq_printf(m, "shm_kernel-allocated:\t%llu\n", info->allocated);
	seq_printf(m, "shm_kernel-flags:\t%#x\n", info->flags);
	seq_printf(m, "shm_kernel-seals:\t%#x\n", info->seals);
	seq_printf(m, "shm_kernel-files:\t%u\n", info->files);
	seq_printf(m, "shm_kernel-mappings:\t%u\n", info->mappings);
}

/*
 * Event files
 */

/* Return: how often others rang, or less if we ring just now. */
static s64 shm_unread_rings(const struct shm_event_file *ef)
{
	/* Whoever sees the ring sees what was stored before it. */
	s64 rings = atomic64_read_acquire(&ef->region->rings);

	return rings - atomic64_read(&ef->rings);
}

static bool shm_events_pending(const struct shm_event_file *ef)
{
	int i;

	if (shm_unread_rings(ef) > 0)
		return true;
	for (i = 0; i < SHM_NR_EVENTS; i++)
		if (atomic_read(&ef->region->happened[i]) !=
		    READ_ONCE(ef->seen[i]))
			return true;
	return false;
}

static u32 shm_take_event(struct shm_event_file *ef, enum shm_event event)
{
	u32 before = ef->seen[event];

	WRITE_ONCE(ef->seen[event],
		   atomic_read_acquire(&ef->region->happened[event]));
	return ef->seen[event] - before;
}

/* Return: whether there was anything. */
static bool shm_take_events(struct shm_event_file *ef,
			    struct shm_kernel_events *events)
{
	guard(spinlock)(&ef->lock);
	events->rings = max(shm_unread_rings(ef), 0);
	atomic64_add(events->rings, &ef->rings);
	/* In this order nobody is seen to go who was not seen to come. */
	events->peers_gone = shm_take_event(ef, SHM_PEER_WENT);
	events->peers_come = shm_take_event(ef, SHM_PEER_CAME);
	events->resized = shm_take_event(ef, SHM_RESIZED);
	events->sealed = shm_take_event(ef, SHM_SEALED);
	events->revoked = shm_take_event(ef, SHM_WAS_REVOKED);
	events->peers = 0;
	if (!memchr_inv(events, 0, sizeof(*events)))
		return false;
	events->peers = ef->seen[SHM_PEER_CAME] - ef->seen[SHM_PEER_WENT] - 1;
	return true;
}

static void shm_return_event(struct shm_event_file *ef, enum shm_event event,
			     u32 times)
{
	WRITE_ONCE(ef->seen[event], ef->seen[event] - times);
}

static void shm_return_events(struct shm_event_file *ef,
			      const struct shm_kernel_events *events)
{
	scoped_guard(spinlock, &ef->lock) {
		atomic64_sub(events->rings, &ef->rings);
		shm_return_event(ef, SHM_PEER_CAME, events->peers_come);
		shm_return_event(ef, SHM_PEER_WENT, events->peers_gone);
		shm_return_event(ef, SHM_RESIZED, events->resized);
		shm_return_event(ef, SHM_SEALED, events->sealed);
		shm_return_event(ef, SHM_WAS_REVOKED, events->revoked);
	}
	/* Another reader of the file may have found nothing meanwhile. */
	shm_wake_up(ef->region, SHM_POLL_EVENTS);
}

static bool shm_events_over(const struct shm_event_file *ef)
{
	return atomic_read(&ef->region->happened[SHM_WAS_REVOKED]);
}

static ssize_t shm_events_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct shm_event_file *ef = iocb->ki_filp->private_data;
	size_t len = min(iov_iter_count(to), sizeof(struct shm_kernel_events));
	struct shm_kernel_events events;
	int err;

	if (len < SHM_KERNEL_EVENTS_SIZE_VER0)
		return -EINVAL;
	for (;;) {
		/* Before the events, of which the revoke itself is one. */
		bool over = shm_events_over(ef);

		if (shm_take_events(ef, &events))
			break;
		if (over)
			return -ENODEV;
		if (iocb->ki_filp->f_flags & O_NONBLOCK ||
		    iocb->ki_flags & IOCB_NOWAIT)
			return -EAGAIN;
		err = wait_event_interruptible(ef->region->wait,
					       shm_events_pending(ef) ||
					       shm_events_over(ef));
		if (err)
			return err;
	}
	if (copy_to_iter(&events, len, to) != len) {
		shm_return_events(ef, &events);
		return -EFAULT;
	}
	return len;
}

static ssize_t shm_events_ring(struct file *file, u64 times)
{
	struct shm_event_file *ef = file->private_data;
	struct shm_kernel_region *region = ef->region;

	if (!times || times == U64_MAX)
		return -EINVAL;
	if (shm_events_over(ef))
		return -ENODEV;
	/* So that no sum of what others write comes back to what was read. */
	times = min(times, U32_MAX);

	atomic64_add(times, &ef->rings);
	/* Whoever sees the ring sees what was stored before it. */
	smp_mb__before_atomic();
	atomic64_add(times, &region->rings);
	trace_shm_kernel_notify(region->id, times, false);
	/* The count before the look at who waits: pairs with prepare_to_wait(). */
	if (wq_has_sleeper(&region->wait))
		shm_wake_up(region, SHM_POLL_EVENTS);
	if (shm_mark_clients(region, NULL, SHM_DUE_KICK))
		shm_queue_clients(region);
	return sizeof(times);
}

/* For write(), which is spared the iterator. */
static ssize_t shm_events_write(struct file *file, const char __user *buf,
				size_t count, loff_t *ppos)
{
	u64 times;

	if (count != sizeof(times))
		return -EINVAL;
	if (get_user(times, (u64 __user *)buf))
		return -EFAULT;
	return shm_events_ring(file, times);
}

/* For io_uring, which without it would hand each ring to a worker. */
static ssize_t shm_events_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	u64 times;

	if (iov_iter_count(from) != sizeof(times))
		return -EINVAL;
	if (!copy_from_iter_full(&times, sizeof(times), from))
		return -EFAULT;
	return shm_events_ring(iocb->ki_filp, times);
}

static __poll_t shm_events_poll(struct file *file, poll_table *wait)
{
	struct shm_event_file *ef = file->private_data;
	__poll_t mask = 0;

	poll_wait(file, &ef->region->wait, wait);
	if (shm_events_pending(ef))
		mask |= SHM_POLL_EVENTS;
	if (file->f_mode & FMODE_WRITE)
		mask |= EPOLLOUT | EPOLLWRNORM;
	if (shm_events_over(ef))
		mask |= EPOLLHUP | SHM_POLL_EVENTS;
	return mask;
}

static int shm_events_release(struct inode *inode, struct file *file)
{
	struct shm_event_file *ef = file->private_data;

	shm_peer_event(ef->region, NULL, false);
	shm_unhold(ef->region);
	kfree(ef);
	return 0;
}

static void shm_events_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct shm_event_file *ef = file->private_data;
	struct shm_kernel_info *info __free(kfree) = kmalloc_obj(*info);

	if (!info)
		return;
	shm_fill_info(ef->region, info);
	shm_show_region(m, info);
	seq_printf(m, "shm_kernel-unread-rings:\t%lld\n",
		   max(shm_unread_rings(ef), 0));
}

static const struct file_operations shm_events_fops = {
	.owner		= THIS_MODULE,
	.release	= shm_events_release,
	.llseek		= noop_llseek,
	.read_iter	= shm_events_read_iter,
	.write		= shm_events_write,
	.write_iter	= shm_events_write_iter,
	.poll		= shm_events_poll,
	.show_fdinfo	= shm_events_show_fdinfo,
};

static struct file *shm_open_events(struct shm_kernel_region *region, int flags)
{
	struct shm_event_file *ef;
	struct file *file;
	int i;

	ef = kzalloc_obj(*ef, GFP_KERNEL_ACCOUNT);
	if (!ef)
		return ERR_PTR(-ENOMEM);
	file = anon_inode_getfile("[shm_kernel_events]", &shm_events_fops, ef, flags);
	if (IS_ERR(file)) {
		kfree(ef);
		return file;
	}
	stream_open(file_inode(file), file);
	file->f_mode |= FMODE_NOWAIT;
	file_set_fsnotify_mode(file, FMODE_NONOTIFY);

	ef->region = region;
	spin_lock_init(&ef->lock);
	shm_hold(region);
	atomic64_set(&ef->rings, atomic64_read(&region->rings));
	for (i = 0; i < SHM_NR_EVENTS; i++)
		ef->seen[i] = atomic_read(&region->happened[i]);
	/* Of two that come at once, one is told of the other. */
	ef->seen[SHM_PEER_CAME] = shm_peer_event(region, NULL, true);
	return file;
}

/*
 * ioctls
 */

union shm_args {
	struct shm_kernel_create create;
	struct shm_kernel_open open;
	struct shm_kernel_name name;
	struct shm_kernel_info info;
	struct shm_kernel_list list;
	struct shm_kernel_simple simple;
	struct shm_kernel_seals seals;
	struct shm_kernel_subscribe subscribe;
};

struct shm_cmd {
	void __user *ubuf;
	u32 usize;
	union shm_args args;
};

static long shm_ioctl_create(struct file *file, struct shm_cmd *cmd)
{
	const struct shm_kernel_create *args = &cmd->args.create;
	char text[SHM_KERNEL_NAME_MAX];
	const struct qstr name = QSTR_INIT(text, args->name_len);
	int node = NUMA_NO_NODE;
	struct shm_kernel_region *region;
	int err;

	if (args->flags & ~SHM_CREATE_FLAGS || args->mode & ~0777 || args->pad ||
	    args->length > MAX_LFS_FILESIZE)
		return -EINVAL;
	if (args->flags & SHM_KERNEL_CREATE_NODE) {
		node = args->numa_node;
		if (node < 0 || node >= MAX_NUMNODES || !node_online(node))
			return -EINVAL;
	} else if (args->numa_node) {
		return -EINVAL;
	}
	if (args->name || args->name_len) {
		err = shm_copy_name(text, args->name, args->name_len);
		if (err)
			return err;
		/* Spares a lost race its memory; shm_bind() is what decides. */
		region = shm_find(&name);
		if (region) {
			shm_unhold(region);
			return -EEXIST;
		}
	}

	region = shm_create(args->length, args->mode, args->flags, node);
	if (IS_ERR(region))
		return PTR_ERR(region);
	memcpy(region->tag, args->tag, sizeof(region->tag));

	FD_PREPARE(fdf, O_CLOEXEC, shm_open_file(region, O_RDWR));
	/* The file has a reference of its own, or the region is to go. */
	dput(region->dentry);
	if (fdf.err)
		return fdf.err;
	shm_publish(region);
	if (args->name_len) {
		err = shm_bind(region, &name);
		if (err)
			return err;
	}
	return fd_publish(fdf);
}

static long shm_ioctl_open(struct file *file, struct shm_cmd *cmd)
{
	const struct shm_kernel_open *args = &cmd->args.open;
	int mask = MAY_OPEN | MAY_READ;
	char text[SHM_KERNEL_NAME_MAX];
	struct shm_kernel_region *region;
	int ret;

	if (args->pad || (args->flags != O_RDONLY && args->flags != O_RDWR))
		return -EINVAL;
	if (args->flags == O_RDWR)
		mask |= MAY_WRITE;
	ret = shm_copy_name(text, args->name, args->name_len);
	if (ret)
		return ret;
	region = shm_find(&QSTR_LEN(text, args->name_len));
	if (!region)
		return -ENOENT;

	ret = inode_permission(&nop_mnt_idmap, &region->inode, mask);
	if (!ret)
		ret = FD_ADD(O_CLOEXEC, shm_open_file(region, args->flags));
	shm_unhold(region);
	return ret;
}

static long shm_ioctl_remove(struct file *file, struct shm_cmd *cmd)
{
	const struct shm_kernel_name *args = &cmd->args.name;
	char text[SHM_KERNEL_NAME_MAX];
	struct shm_kernel_region *region;
	int err;

	if (args->flags || args->pad)
		return -EINVAL;
	err = shm_copy_name(text, args->name, args->name_len);
	if (err)
		return err;
	region = shm_find(&QSTR_LEN(text, args->name_len));
	if (!region)
		return -ENOENT;

	if (!shm_may_own(region))
		err = -EACCES;
	else if (region->flags & SHM_KERNEL_INFO_BOOT)
		err = -EPERM;
	else if (!shm_unbind(region))
		err = -ENOENT;
	shm_unhold(region);
	return err;
}

static long shm_ioctl_bind(struct file *file, struct shm_cmd *cmd)
{
	const struct shm_kernel_name *args = &cmd->args.name;
	struct shm_kernel_region *region = shm_file_region(file);
	char text[SHM_KERNEL_NAME_MAX];
	int err;

	if (args->flags || args->pad)
		return -EINVAL;
	if (!(file->f_mode & FMODE_WRITE) || !shm_may_own(region))
		return -EACCES;
	err = shm_copy_name(text, args->name, args->name_len);
	if (err)
		return err;
	return shm_bind(region, &QSTR_LEN(text, args->name_len));
}

static long shm_ioctl_get_info(struct file *file, struct shm_cmd *cmd)
{
	struct shm_kernel_info *info = &cmd->args.info;

	shm_fill_info(shm_file_region(file), info);
	info->size = min_t(u32, cmd->usize, sizeof(*info));
	return copy_struct_to_user(cmd->ubuf, cmd->usize, info, sizeof(*info),
				   NULL);
}

static bool shm_may_list(struct shm_kernel_region *region)
{
	return capable(CAP_SYS_ADMIN) || shm_may_own(region) ||
	       !inode_permission(&nop_mnt_idmap, &region->inode, MAY_READ);
}

/* The first region with an id above @cursor. */
static struct rb_node *shm_next_region(u64 cursor)
{
	struct rb_node *node = shm_regions.rb_node, *next = NULL;

	lockdep_assert_held(&shm_regions_lock);

	while (node) {
		if (rb_entry(node, struct shm_kernel_region, id_link)->id > cursor) {
			next = node;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return next;
}

static u32 shm_fill_list(struct shm_kernel_info *infos, u32 max, u64 *cursor)
{
	struct rb_node *node;
	u32 count = 0;

	guard(mutex)(&shm_regions_lock);
	for (node = shm_next_region(*cursor); node && count < max;
	     node = rb_next(node)) {
		struct shm_kernel_region *region = rb_entry(node, struct shm_kernel_region,
						     id_link);

		*cursor = region->id;
		if (shm_may_list(region))
			shm_fill_info(region, &infos[count++]);
		cond_resched();
	}
	return count;
}

static long shm_ioctl_list(struct file *file, struct shm_cmd *cmd)
{
	struct shm_kernel_list *args = &cmd->args.list;
	struct shm_kernel_info *infos __free(kfree) = NULL;
	void __user *entry = u64_to_user_ptr(args->entries);
	u32 max = PAGE_SIZE / sizeof(*infos);
	u32 count, i;

	if (args->flags || !args->count ||
	    args->entry_size < SHM_KERNEL_INFO_SIZE_VER0)
		return -EINVAL;
	if (args->entry_size > PAGE_SIZE)
		return -E2BIG;

	infos = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!infos)
		return -ENOMEM;
	count = shm_fill_list(infos, min(max, args->count), &args->cursor);
	for (i = 0; i < count; i++, entry += args->entry_size) {
		infos[i].size = min_t(u32, args->entry_size, sizeof(*infos));
		if (copy_struct_to_user(entry, args->entry_size, &infos[i],
					sizeof(*infos), NULL))
			return -EFAULT;
	}
	args->count = count;
	return copy_struct_to_user(cmd->ubuf, cmd->usize, args, sizeof(*args),
				   NULL);
}

static int shm_may_rewrite(const struct file *file, const struct shm_cmd *cmd)
{
	if (cmd->args.simple.flags)
		return -EINVAL;
	return file->f_mode & FMODE_WRITE ? 0 : -EACCES;
}

static int shm_clear(struct shm_kernel_region *region)
{
	struct inode *inode = &region->inode;

	lockdep_assert_held_write(&inode->i_rwsem);

	if (shm_revoked(region))
		return -ENODEV;
	if (shm_write_sealed(region))
		return -EPERM;
	shm_zero(region, 0, i_size_read(inode));
	inode_set_mtime_to_ts(inode, inode_set_ctime_current(inode));
	return 0;
}

static long shm_ioctl_clear(struct file *file, struct shm_cmd *cmd)
{
	struct shm_kernel_region *region = shm_file_region(file);
	int err = shm_may_rewrite(file, cmd);

	if (err)
		return err;
	inode_lock(&region->inode);
	err = shm_clear(region);
	inode_unlock(&region->inode);
	return err;
}

static void shm_reset_clients(struct shm_kernel_region *region)
{
	struct shm_kernel_client *client;

	lockdep_assert_held(&region->clients_lock);

	list_for_each_entry(client, &region->clients, link)
		if (client->ops->reset)
			client->ops->reset(client);
}

static long shm_ioctl_reset(struct file *file, struct shm_cmd *cmd)
{
	struct shm_kernel_region *region = shm_file_region(file);
	int err = shm_may_rewrite(file, cmd);

	if (err)
		return err;
	if (mutex_lock_killable(&region->clients_lock))
		return -EINTR;
	inode_lock(&region->inode);
	err = shm_clear(region);
	if (!err) {
		shm_put_initial_content(region);
		shm_reset_clients(region);
	}
	inode_unlock(&region->inode);
	mutex_unlock(&region->clients_lock);
	return err;
}

static int shm_revoke(struct shm_kernel_region *region)
{
	struct inode *inode = &region->inode;

	if (region->flags & SHM_KERNEL_INFO_BOOT)
		return -EPERM;

	inode_lock(inode);
	if (shm_revoked(region)) {
		inode_unlock(inode);
		return -ENODEV;
	}
	scoped_guard(spinlock, &shm_names_lock)
		WRITE_ONCE(region->flags,
			   region->flags | SHM_KERNEL_INFO_REVOKED);
	shm_unbind(region);
	shm_shrink(region, 0, false);
	inode_unlock(inode);
	trace_shm_kernel_revoke(region->id);
	shm_happen(region, SHM_WAS_REVOKED);
	if (shm_mark_clients(region, NULL, SHM_DUE_REVOKED))
		shm_queue_clients(region);
	return 0;
}

static long shm_ioctl_revoke(struct file *file, struct shm_cmd *cmd)
{
	if (cmd->args.simple.flags)
		return -EINVAL;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	return shm_revoke(shm_file_region(file));
}

static long shm_ioctl_add_seals(struct file *file, struct shm_cmd *cmd)
{
	u32 seals = cmd->args.seals.seals;

	if (seals & ~SHM_SEALS)
		return -EINVAL;
	if (!(file->f_mode & FMODE_WRITE))
		return -EPERM;
	return shm_add_seals(shm_file_region(file), seals);
}

static long shm_ioctl_subscribe(struct file *file, struct shm_cmd *cmd)
{
	struct shm_kernel_region *region = shm_file_region(file);
	u32 flags = cmd->args.subscribe.flags;

	if (flags & ~O_NONBLOCK)
		return -EINVAL;
	if (shm_revoked(region))
		return -ENODEV;
	flags |= file->f_mode & FMODE_WRITE ? O_RDWR : O_RDONLY;
	return FD_ADD(O_CLOEXEC, shm_open_events(region, flags));
}

/* Which files an ioctl is for. */
#define SHM_ON_CONTROL	BIT(0)
#define SHM_ON_REGION	BIT(1)

struct shm_ioctl_op {
	unsigned int on;
	u32 size;
	u32 min_size;
	long (*execute)(struct file *file, struct shm_cmd *cmd);
};

#define SHM_OP(_cmd, _on, _struct, _min_size, _fn)			\
	[_IOC_NR(_cmd)] = {						\
		.on = _on,						\
		.size = sizeof(struct _struct),				\
		.min_size = _min_size,					\
		.execute = _fn,						\
	}

static const struct shm_ioctl_op shm_ioctl_ops[] = {
	SHM_OP(SHM_KERNEL_IOC_CREATE, SHM_ON_CONTROL, shm_kernel_create,
	       SHM_KERNEL_CREATE_SIZE_VER0, shm_ioctl_create),
	SHM_OP(SHM_KERNEL_IOC_OPEN, SHM_ON_CONTROL, shm_kernel_open,
	       SHM_KERNEL_OPEN_SIZE_VER0, shm_ioctl_open),
	SHM_OP(SHM_KERNEL_IOC_REMOVE, SHM_ON_CONTROL, shm_kernel_name,
	       SHM_KERNEL_NAME_SIZE_VER0, shm_ioctl_remove),
	SHM_OP(SHM_KERNEL_IOC_LIST, SHM_ON_CONTROL, shm_kernel_list,
	       SHM_KERNEL_LIST_SIZE_VER0, shm_ioctl_list),
	SHM_OP(SHM_KERNEL_IOC_BIND, SHM_ON_REGION, shm_kernel_name,
	       SHM_KERNEL_NAME_SIZE_VER0, shm_ioctl_bind),
	SHM_OP(SHM_KERNEL_IOC_GET_INFO, SHM_ON_REGION, shm_kernel_info,
	       SHM_KERNEL_INFO_SIZE_VER0, shm_ioctl_get_info),
	SHM_OP(SHM_KERNEL_IOC_CLEAR, SHM_ON_REGION, shm_kernel_simple,
	       SHM_KERNEL_SIMPLE_SIZE_VER0, shm_ioctl_clear),
	SHM_OP(SHM_KERNEL_IOC_RESET, SHM_ON_REGION, shm_kernel_simple,
	       SHM_KERNEL_SIMPLE_SIZE_VER0, shm_ioctl_reset),
	SHM_OP(SHM_KERNEL_IOC_REVOKE, SHM_ON_REGION, shm_kernel_simple,
	       SHM_KERNEL_SIMPLE_SIZE_VER0, shm_ioctl_revoke),
	SHM_OP(SHM_KERNEL_IOC_ADD_SEALS, SHM_ON_REGION, shm_kernel_seals,
	       SHM_KERNEL_SEALS_SIZE_VER0, shm_ioctl_add_seals),
	SHM_OP(SHM_KERNEL_IOC_SUBSCRIBE, SHM_ON_REGION, shm_kernel_subscribe,
	       SHM_KERNEL_SUBSCRIBE_SIZE_VER0, shm_ioctl_subscribe),
};

static long shm_do_ioctl(struct file *file, unsigned int cmd, unsigned long arg,
			 unsigned int on)
{
	const struct shm_ioctl_op *op;
	unsigned int nr = _IOC_NR(cmd);
	struct shm_cmd buf;
	int err;

	if (nr >= ARRAY_SIZE(shm_ioctl_ops))
		return -ENOTTY;
	op = &shm_ioctl_ops[array_index_nospec(nr, ARRAY_SIZE(shm_ioctl_ops))];
	if (cmd != _IO(SHM_KERNEL_TYPE, nr) || !(op->on & on))
		return -ENOTTY;

	buf.ubuf = (void __user *)arg;
	if (get_user(buf.usize, (u32 __user *)arg))
		return -EFAULT;
	if (buf.usize < op->min_size)
		return -EINVAL;
	if (buf.usize > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(&buf.args, op->size, buf.ubuf, buf.usize);
	if (err)
		return err;
	return op->execute(file, &buf);
}

static long shm_region_ioctl(struct file *file, unsigned int cmd,
			     unsigned long arg)
{
	return shm_do_ioctl(file, cmd, arg, SHM_ON_REGION);
}

/* Commands of devices that were written after a tutorial: see SHM_KERNEL_PROC. */
#define SHM_RAW_CLEAR	0
#define SHM_RAW_RESET	1

static long shm_raw_ioctl(struct file *file, unsigned int cmd)
{
	struct shm_cmd no_flags = { };

	return cmd == SHM_RAW_CLEAR ? shm_ioctl_clear(file, &no_flags) :
				      shm_ioctl_reset(file, &no_flags);
}

static long shm_control_ioctl(struct file *file, unsigned int cmd,
			      unsigned long arg)
{
	if (IS_ENABLED(CONFIG_SHM_KERNEL_PROC) &&
	    (cmd == SHM_RAW_CLEAR || cmd == SHM_RAW_RESET))
		return shm_raw_ioctl(file, cmd);
	return shm_do_ioctl(file, cmd, arg, SHM_ON_CONTROL | SHM_ON_REGION);
}

static const struct file_operations shm_region_fops = {
	.owner			= THIS_MODULE,
	.fop_flags		= FOP_BUFFER_WASYNC,
	.open			= shm_region_open,
	.release		= shm_release,
	.llseek			= generic_file_llseek,
	.read_iter		= shm_read_iter,
	.write_iter		= shm_write_iter,
	.splice_read		= copy_splice_read,
	.splice_write		= iter_file_splice_write,
	.mmap_prepare		= shm_region_mmap_prepare,
	.get_unmapped_area	= thp_get_unmapped_area,
	.fsync			= noop_fsync,
	.unlocked_ioctl		= shm_region_ioctl,
	.compat_ioctl		= compat_ptr_ioctl,
	.show_fdinfo		= shm_show_fdinfo,
};

/*
 * The kernel's own users
 */

static struct page *shm_map_page(const struct shm_map *map, pgoff_t i)
{
	return map->pages ? map->pages[i] :
			    virt_to_page(map->addr + (i << PAGE_SHIFT));
}

static void shm_put_map(struct shm_map *map)
{
	pgoff_t i;

	for (i = 0; i < map->nr;) {
		struct folio *folio = page_folio(shm_map_page(map, i));

		i += folio_nr_pages(folio);
		folio_put(folio);
	}
	kvfree(map->pages);
	*map = (struct shm_map) { };
	atomic_long_dec(&shm_nr_maps);
}

static void shm_undo_map(struct shm_map *map)
{
	if (map->pages)
		vunmap(map->addr);
	shm_put_map(map);
}

/* One folio, or single pages side by side, are in the direct map already. */
static bool shm_is_linear(const struct shm_kernel_region *region,
			  const struct folio *first, pgoff_t nr)
{
	return region->flags & SHM_KERNEL_INFO_CONTIG ||
	       nr <= folio_nr_pages(first);
}

static int shm_fill_map(struct shm_kernel_region *region, struct shm_map *map)
{
	struct address_space *mapping = region->inode.i_mapping;
	struct page **pages = NULL;
	pgoff_t i, j;

	for (i = 0; i < map->nr;) {
		struct folio *folio = filemap_get_folio(mapping, i);
		pgoff_t end = min(folio_next_index(folio), map->nr);

		if (!i && !shm_is_linear(region, folio, map->nr)) {
			pages = kvmalloc_objs(*pages, map->nr, GFP_KERNEL_ACCOUNT |
					      __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
			if (!pages) {
				folio_put(folio);
				return -ENOMEM;
			}
		} else if (!i) {
			map->addr = folio_address(folio);
		}
		for (j = i; pages && j < end; j++)
			pages[j] = folio_page(folio, j - i);
		i = end;
		cond_resched();
	}
	map->pages = pages;
	return 0;
}

/**
 * shm_kernel_create() - create a region
 * @name: its name, or NULL for a region that gets one by shm_kernel_bind()
 * @size: its size in bytes
 * @mode: permission bits, 0 to 0777, for those who open it by name
 * @flags: SHM_KERNEL_CREATE_PERSIST, _CONTIG, _SMALL
 *
 * The memory is allocated and zeroed, and belongs to the user that current is.
 * A region that is to be seen complete is created without a name, filled, and
 * then bound.
 *
 * Context: Process context, may sleep.
 * Return: the region, to be given back by shm_kernel_put(), or an error: -EINVAL
 *	or -ENAMETOOLONG for a bad argument, -EEXIST if the name is taken,
 *	-ENOSPC if a limit of the driver is reached, -ENOMEM, or -EINTR if current
 *	was killed.
 */
struct shm_kernel_region *shm_kernel_create(const char *name, loff_t size,
					    umode_t mode, u32 flags)
{
	struct shm_kernel_region *region;
	int err;

	if (flags & ~(SHM_CREATE_FLAGS & ~SHM_KERNEL_CREATE_NODE) ||
	    mode & ~0777 || size < 0 || size > MAX_LFS_FILESIZE)
		return ERR_PTR(-EINVAL);

	region = shm_create(size, mode, flags, NUMA_NO_NODE);
	if (IS_ERR(region))
		return region;
	shm_publish(region);
	shm_hold(region);
	dput(region->dentry);
	err = name ? shm_kernel_bind(region, name) : 0;
	if (err) {
		shm_unhold(region);
		return ERR_PTR(err);
	}
	return region;
}
EXPORT_SYMBOL_GPL(shm_kernel_create);

/**
 * shm_kernel_bind() - give a region a name
 * @region: a region that never had one
 * @name: the name
 *
 * Context: Process context, may sleep.
 * Return: 0, -EINVAL or -ENAMETOOLONG if that is no name or the region had one,
 *	-EEXIST if it is taken, -ENODEV if the region was revoked, or -ENOMEM.
 */
int shm_kernel_bind(struct shm_kernel_region *region, const char *name)
{
	int err = shm_check_name(name, strlen(name));

	return err ?: shm_bind(region, &QSTR(name));
}
EXPORT_SYMBOL_GPL(shm_kernel_bind);

/**
 * shm_kernel_find() - look a region up
 * @name: its name
 *
 * Context: Process context.
 * Return: the region, to be given back by shm_kernel_put(), or -ENOENT.
 */
struct shm_kernel_region *shm_kernel_find(const char *name)
{
	return shm_find(&QSTR(name)) ?: ERR_PTR(-ENOENT);
}
EXPORT_SYMBOL_GPL(shm_kernel_find);

/**
 * shm_kernel_get() - take another reference to a region
 * @region: the region, to which the caller has a reference
 *
 * It keeps the region's memory and its name.
 *
 * Context: Process context.
 * Return: @region.
 */
struct shm_kernel_region *shm_kernel_get(struct shm_kernel_region *region)
{
	shm_hold(region);
	return region;
}
EXPORT_SYMBOL_GPL(shm_kernel_get);

/**
 * shm_kernel_put() - give a reference to a region back
 * @region: the region
 *
 * Files and mappings of user space stay as they are. The name goes with the last
 * of all users, here and there.
 *
 * Context: Process context, may sleep.
 */
void shm_kernel_put(struct shm_kernel_region *region)
{
	shm_unhold(region);
}
EXPORT_SYMBOL_GPL(shm_kernel_put);

/**
 * shm_kernel_size() - the size of a region
 * @region: the region
 *
 * Context: Process context. While the caller has the region mapped, only a
 *	revoke changes the size, to 0.
 * Return: the size in bytes, 0 if the region was revoked.
 */
loff_t shm_kernel_size(const struct shm_kernel_region *region)
{
	return i_size_read(&region->inode);
}
EXPORT_SYMBOL_GPL(shm_kernel_size);

/**
 * shm_kernel_vmap() - map a region for the kernel
 * @region: the region
 *
 * Until shm_kernel_vunmap() the size of the region does not change: attempts are
 * -EBUSY. If the region is revoked, the memory stays, but user space no longer
 * has it. All who map a region get the same address, which is page-aligned.
 *
 * What is there can be written by user space at any time: read a value once,
 * check it, and use what was read.
 *
 * Context: Process context, may sleep.
 * Return: the address, or an error: -EINVAL if the region is empty, -ENODEV if it
 *	was revoked, -EPERM if it is sealed against writing, or -ENOMEM.
 */
void *shm_kernel_vmap(struct shm_kernel_region *region)
{
	struct inode *inode = &region->inode;
	struct shm_map map = { };
	void *ret = NULL;
	int err;

	inode_lock(inode);
	if (shm_revoked(region)) {
		ret = ERR_PTR(-ENODEV);
		goto out;
	}
	if (shm_write_sealed(region)) {
		ret = ERR_PTR(-EPERM);
		goto out;
	}
	if (region->nr_maps)
		goto mapped;

	map.nr = shm_size_to_pages(i_size_read(inode));
	if (!map.nr) {
		ret = ERR_PTR(-EINVAL);
		goto out;
	}
	/* vmap() counts pages in an unsigned int. */
	if (map.nr > INT_MAX) {
		ret = ERR_PTR(-ENOMEM);
		goto out;
	}
	err = shm_fill_map(region, &map);
	if (err) {
		ret = ERR_PTR(err);
		goto out;
	}
	atomic_long_inc(&shm_nr_maps);
	if (map.pages)
		map.addr = vmap(map.pages, map.nr, VM_MAP, PAGE_KERNEL);
	if (!map.addr) {
		shm_put_map(&map);
		ret = ERR_PTR(-ENOMEM);
		goto out;
	}
	region->map = map;
mapped:
	WRITE_ONCE(region->nr_maps, region->nr_maps + 1);
	ret = region->map.addr;
out:
	inode_unlock(inode);
	return ret;
}
EXPORT_SYMBOL_GPL(shm_kernel_vmap);

/**
 * shm_kernel_vunmap() - undo shm_kernel_vmap()
 * @region: the region
 *
 * Context: Process context, may sleep.
 */
void shm_kernel_vunmap(struct shm_kernel_region *region)
{
	struct inode *inode = &region->inode;

	inode_lock(inode);
	if (!WARN_ON_ONCE(!region->nr_maps)) {
		WRITE_ONCE(region->nr_maps, region->nr_maps - 1);
		if (!region->nr_maps)
			shm_undo_map(&region->map);
	}
	inode_unlock(inode);
}
EXPORT_SYMBOL_GPL(shm_kernel_vunmap);

/**
 * shm_kernel_add_seals() - give up, for everybody, ways to change a region
 * @region: the region
 * @seals: SHM_KERNEL_SEAL_*
 *
 * Context: Process context, may sleep.
 * Return: 0, -EINVAL for unknown seals, -EPERM after SHM_KERNEL_SEAL_SEAL,
 *	-EBUSY for SHM_KERNEL_SEAL_WRITE while anybody can write, -EINTR if the
 *	caller is killed meanwhile, or -ENODEV if the region was revoked.
 */
int shm_kernel_add_seals(struct shm_kernel_region *region, u32 seals)
{
	return shm_add_seals(region, seals);
}
EXPORT_SYMBOL_GPL(shm_kernel_add_seals);

/**
 * shm_kernel_remove() - take a region's name away
 * @region: the region, which the caller has created
 *
 * Its files and mappings stay valid, and the name is free at once. A module that
 * goes does this, so that it can come back while its old users are still there.
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOENT if the region has no name, or -EPERM for a region that was
 *	made when the driver was loaded.
 */
int shm_kernel_remove(struct shm_kernel_region *region)
{
	if (region->flags & SHM_KERNEL_INFO_BOOT)
		return -EPERM;
	return shm_unbind(region) ? 0 : -ENOENT;
}
EXPORT_SYMBOL_GPL(shm_kernel_remove);

/**
 * shm_kernel_revoke() - end a region for user space
 * @region: the region, which the caller has created
 *
 * The name goes, accesses to mappings raise SIGBUS, calls return -ENODEV, and
 * event files say so. What the kernel has mapped stays until it lets go.
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENODEV if the region was revoked already, or -EPERM for one that
 *	was made when the driver was loaded.
 */
int shm_kernel_revoke(struct shm_kernel_region *region)
{
	return shm_revoke(region);
}
EXPORT_SYMBOL_GPL(shm_kernel_revoke);

/**
 * shm_kernel_attach() - become a peer of a region
 * @region: the region
 * @ops: what to be told; all of them may be NULL
 * @data: for the caller's use, see shm_kernel_client_data()
 *
 * Takes no reference on the module: it may go at any time, and detaches first.
 * The operations may be called before this returns.
 *
 * Context: Process context, may sleep. Not from a reset operation.
 * Return: the client, or -ENODEV if the region was revoked, or -ENOMEM.
 */
struct shm_kernel_client *
shm_kernel_attach(struct shm_kernel_region *region,
		  const struct shm_kernel_client_ops *ops, void *data)
{
	struct shm_kernel_client *client;

	if (shm_revoked(region))
		return ERR_PTR(-ENODEV);
	client = kzalloc_obj(*client);
	if (!client)
		return ERR_PTR(-ENOMEM);
	client->region = region;
	client->ops = ops;
	client->data = data;
	INIT_WORK(&client->work, shm_tell_client);
	shm_hold(region);
	scoped_guard(mutex, &region->clients_lock) {
		region->had_clients = true;
		list_add_tail_rcu(&client->link, &region->clients);
	}
	shm_peer_event(region, client, true);
	/* Whoever revokes walks the list after a full barrier; so do we look. */
	smp_mb();
	if (shm_revoked(region)) {
		set_bit(SHM_DUE_REVOKED, &client->due);
		shm_queue_clients(region);
	}
	return client;
}
EXPORT_SYMBOL_GPL(shm_kernel_attach);

/**
 * shm_kernel_detach() - stop being a peer of a region
 * @client: what shm_kernel_attach() returned
 *
 * Returns when none of the client's operations runs, and none will. The other
 * peers are told that one has gone.
 *
 * Context: Process context, may sleep. Not from an operation of the client
 *	itself, nor from a reset operation. The caller sees to it that no
 *	shm_kernel_notify() runs.
 */
void shm_kernel_detach(struct shm_kernel_client *client)
{
	struct shm_kernel_region *region = client->region;

	scoped_guard(mutex, &region->clients_lock)
		list_del_rcu(&client->link);
	/* Who walked the list may still queue the work, and finds it disabled. */
	disable_work_sync(&client->work);
	shm_peer_event(region, client, false);
	kfree_rcu(client, rcu);
	shm_unhold(region);
}
EXPORT_SYMBOL_GPL(shm_kernel_detach);

/**
 * shm_kernel_client_data() - what was given to shm_kernel_attach()
 * @client: the client
 *
 * Context: Any.
 * Return: the pointer.
 */
void *shm_kernel_client_data(const struct shm_kernel_client *client)
{
	return client->data;
}
EXPORT_SYMBOL_GPL(shm_kernel_client_data);

/**
 * shm_kernel_peers() - how many others there are
 * @client: the client
 *
 * Context: Any.
 * Return: the number of event files and clients of the region besides @client.
 */
unsigned int shm_kernel_peers(const struct shm_kernel_client *client)
{
	return shm_count_peers(client->region) - 1;
}
EXPORT_SYMBOL_GPL(shm_kernel_peers);

/**
 * shm_kernel_notify() - ring the doorbell of a region
 * @client: who rings; everybody else is told
 *
 * With nobody waiting this is an addition and a look. Otherwise it wakes them
 * through an irq_work, so that it can be called with any lock held.
 *
 * What was stored before is visible to whoever is told.
 *
 * Context: Any: process, soft and hard interrupt, with interrupts disabled or
 *	not, on PREEMPT_RT too; NMI unless CONFIG_GENERIC_ATOMIC64.
 */
void shm_kernel_notify(struct shm_kernel_client *client)
{
	struct shm_kernel_region *region = client->region;
	bool others;

	/* Whoever sees the ring, or is kicked, sees what was stored before it. */
	smp_mb__before_atomic();
	atomic64_inc(&region->rings);
	trace_shm_kernel_notify(region->id, 1, true);
	others = shm_mark_clients(region, client, SHM_DUE_KICK);
	/* The count before the look at who waits: pairs with prepare_to_wait(). */
	if (wq_has_sleeper(&region->wait) || others)
		irq_work_queue(&region->wake);
}
EXPORT_SYMBOL_GPL(shm_kernel_notify);

/*
 * Boot regions and their nodes
 */

static int shm_node_open(struct inode *inode, struct file *file)
{
	struct shm_node *node = container_of(file->private_data, struct shm_node,
					     misc);

	file->private_data = NULL;
	file->f_mapping = node->region->inode.i_mapping;
	shm_enter(node->region, file);
	return 0;
}

static const struct file_operations shm_node_fops = {
	.owner			= THIS_MODULE,
	.open			= shm_node_open,
	.release		= shm_release,
	.llseek			= generic_file_llseek,
	.read_iter		= shm_read_iter,
	.write_iter		= shm_write_iter,
	.splice_read		= copy_splice_read,
	.splice_write		= iter_file_splice_write,
	.mmap_prepare		= shm_node_mmap_prepare,
	.get_unmapped_area	= thp_get_unmapped_area,
	.fsync			= noop_fsync,
	.unlocked_ioctl		= shm_region_ioctl,
	.compat_ioctl		= compat_ptr_ioctl,
	.show_fdinfo		= shm_show_fdinfo,
};

static const struct file_operations shm_control_fops = {
	.owner			= THIS_MODULE,
	.open			= shm_node_open,
	.release		= shm_release,
	.llseek			= generic_file_llseek,
	.read_iter		= shm_read_iter,
	.write_iter		= shm_write_iter,
	.splice_read		= copy_splice_read,
	.splice_write		= iter_file_splice_write,
	.mmap_prepare		= shm_node_mmap_prepare,
	.get_unmapped_area	= thp_get_unmapped_area,
	.fsync			= noop_fsync,
	.unlocked_ioctl		= shm_control_ioctl,
	.compat_ioctl		= compat_ptr_ioctl,
	.show_fdinfo		= shm_show_fdinfo,
};

static int shm_parse_boot_flag(const char *text, struct shm_boot_spec *spec)
{
	u16 mode;

	if (!strcmp(text, "contig")) {
		spec->flags |= SHM_KERNEL_CREATE_CONTIG;
		return 0;
	}
	if (!strcmp(text, "small")) {
		spec->flags |= SHM_KERNEL_CREATE_SMALL;
		return 0;
	}
	if (strncmp(text, "mode=", 5) || kstrtou16(text + 5, 8, &mode) ||
	    mode & ~0777)
		return -EINVAL;
	spec->mode = mode;
	return 0;
}

/* Parses name:size[:flag...], which it cuts into pieces. */
VISIBLE_IF_KUNIT int shm_parse_boot_spec(char *text, struct shm_boot_spec *spec)
{
	char *name = strsep(&text, ":");
	char *size = strsep(&text, ":");
	const char *c;
	char *flag;
	int err;

	*spec = (struct shm_boot_spec) { .name = name, .mode = 0600 };
	err = shm_check_name(name, strlen(name));
	if (err)
		return err;
	/* The name becomes that of a device node. */
	for (c = name; *c; c++)
		if (!isascii(*c) || (!isalnum(*c) && !strchr("._-", *c)))
			return -EINVAL;
	if (!size || shm_parse_size(size, &spec->size) || !spec->size ||
	    spec->size > MAX_LFS_FILESIZE)
		return -EINVAL;
	while ((flag = strsep(&text, ":"))) {
		err = shm_parse_boot_flag(flag, spec);
		if (err)
			return err;
	}
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(shm_parse_boot_spec);

static void shm_free_node(struct shm_node *node)
{
	list_del(&node->link);
	if (node->registered)
		misc_deregister(&node->misc);
	shm_unbind(node->region);
	kfree(node->misc.name);
	kfree(node);
}

/* Makes a boot region and what is needed for its node. */
static int shm_add_boot_region(const struct shm_boot_spec *spec,
			       const char *node_name,
			       const struct file_operations *fops)
{
	struct shm_node *node __free(kfree) = kzalloc_obj(*node);
	const char *misc_name __free(kfree) = kstrdup(node_name, GFP_KERNEL);
	struct shm_kernel_region *region;
	int err;

	if (!node || !misc_name)
		return -ENOMEM;

	region = shm_create(spec->size, spec->mode,
			    spec->flags | SHM_KERNEL_INFO_BOOT, NUMA_NO_NODE);
	if (IS_ERR(region))
		return PTR_ERR(region);
	shm_publish(region);
	shm_put_initial_content(region);
	err = shm_bind(region, &QSTR(spec->name));
	/* From here on the name has a hold on the region. */
	dput(region->dentry);
	if (err)
		return err;

	node->region = region;
	node->misc.minor = MISC_DYNAMIC_MINOR;
	node->misc.name = no_free_ptr(misc_name);
	node->misc.fops = fops;
	node->misc.mode = spec->mode;
	list_add_tail(&no_free_ptr(node)->link, &shm_nodes);
	return 0;
}

static int shm_register_node(struct shm_node *node)
{
	int err = misc_register(&node->misc);

	node->registered = !err;
	if (err)
		pr_err("cannot make the node of region \"%s\": %pe\n",
		       node->region->name, ERR_PTR(err));
	return err;
}

/*
 * Once a node can be opened, loading must not fail: the module would go from
 * under the file. So the control node comes when all else is done, and a region
 * whose node cannot be made is one that is opened by name.
 */
static int shm_register_nodes(void)
{
	struct shm_node *control = list_first_entry(&shm_nodes, struct shm_node,
						    link);
	struct shm_node *node = control;
	int err;

	err = shm_register_node(control);
	if (err)
		return err;
	list_for_each_entry_continue(node, &shm_nodes, link)
		shm_register_node(node);
	return 0;
}

static int shm_add_region0(void)
{
	const struct shm_boot_spec spec = {
		.name = "region0",
		.size = shm_size,
		.flags = SHM_KERNEL_CREATE_CONTIG,
		.mode = 0600,
	};
	int err = -EINVAL;

	if (shm_size && shm_size <= MAX_LFS_FILESIZE)
		err = shm_add_boot_region(&spec, KBUILD_MODNAME, &shm_control_fops);
	if (err)
		pr_err("cannot make region 0 of %llu bytes (size=): %pe\n",
		       shm_size, ERR_PTR(err));
	return err;
}

static int shm_add_listed_region(char *text)
{
	const char *copy __free(kfree) = kstrdup(text, GFP_KERNEL);
	const char *node_name __free(kfree) = NULL;
	struct shm_boot_spec spec;
	int err;

	if (!copy)
		return -ENOMEM;
	err = shm_parse_boot_spec(text, &spec);
	if (!err) {
		node_name = kasprintf(GFP_KERNEL, SHM_NAME "/%s", spec.name);
		err = node_name ? shm_add_boot_region(&spec, node_name,
						      &shm_node_fops) : -ENOMEM;
	}
	if (err)
		pr_err("cannot make the region \"%s\" (regions=): %pe\n", copy,
		       ERR_PTR(err));
	return err;
}

static int shm_add_listed_regions(void)
{
	char *list __free(kfree) = kstrdup(shm_boot_regions ?: "", GFP_KERNEL);
	char *rest = list, *text;
	int err;

	if (!list)
		return -ENOMEM;
	while ((text = strsep(&rest, ","))) {
		if (!*text)
			continue;
		err = shm_add_listed_region(text);
		if (err)
			return err;
	}
	return 0;
}

/* Live objects: what the tests compare to find a leak. */
static int shm_stats_show(struct seq_file *m, void *unused)
{
	scoped_guard(mutex, &shm_regions_lock)
		seq_printf(m, "regions %lu\n", shm_nr_regions);
	seq_printf(m, "files %ld\n", atomic_long_read(&shm_nr_files));
	seq_printf(m, "peers %ld\n", atomic_long_read(&shm_nr_peers));
	seq_printf(m, "maps %ld\n", atomic_long_read(&shm_nr_maps));
	guard(mutex)(&shm_account_lock);
	seq_printf(m, "pages %lu\n", shm_nr_pages);
	seq_printf(m, "users %lu\n", shm_nr_users);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(shm_stats);

/*
 * /proc: the regions for people, and what programs of tutorials look for
 */

#ifdef CONFIG_SHM_KERNEL_PROC
static struct proc_dir_entry *shm_proc_regions;
static struct proc_dir_entry *shm_proc_memshare;
static struct proc_dir_entry *shm_proc_shm_dir;

/* Return: where a region lies, for who opened the file as an administrator, else 0. */
static phys_addr_t shm_phys(const struct seq_file *m,
			    const struct shm_kernel_region *region)
{
	struct folio *folio;

	if (!(region->flags & SHM_KERNEL_INFO_CONTIG) ||
	    !file_ns_capable(m->file, &init_user_ns, CAP_SYS_ADMIN))
		return 0;
	/* Not there after a revoke. It is not looked into. */
	folio = xa_load(&region->inode.i_mapping->i_pages, 0);
	return folio ? PFN_PHYS(folio_pfn(folio)) : 0;
}

/* Positions are ids, and 0 is the header. */
static void *shm_proc_start(struct seq_file *m, loff_t *pos)
{
	mutex_lock(&shm_regions_lock);
	return *pos ? shm_next_region(*pos - 1) : SEQ_START_TOKEN;
}

static void *shm_proc_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct rb_node *node = v == SEQ_START_TOKEN ? shm_next_region(0) : rb_next(v);

	*pos = node ? rb_entry(node, struct shm_kernel_region, id_link)->id : *pos + 1;
	return node;
}

static void shm_proc_stop(struct seq_file *m, void *v)
{
	mutex_unlock(&shm_regions_lock);
}

static int shm_proc_show(struct seq_file *m, void *v)
{
	struct shm_kernel_info *info = m->private;
	struct shm_kernel_region *region;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "        id  mode   uid   gid                 size            allocated files  maps peers flags seals         physaddr name\n");
		return 0;
	}
	region = rb_entry(v, struct shm_kernel_region, id_link);
	if (!shm_may_list(region))
		return SEQ_SKIP;
	shm_fill_info(region, info);
	seq_printf(m, "%10llu %5o %5u %5u %20llu %20llu %5u %5u %5u %5x %5x %#16llx ",
		   info->id, info->mode, info->uid, info->gid, info->length,
		   info->allocated, info->files, info->mappings, info->peers,
		   info->flags, info->seals, (u64)shm_phys(m, region));
	shm_show_name(m, info);
	return 0;
}

static const struct seq_operations shm_proc_ops = {
	.start	= shm_proc_start,
	.next	= shm_proc_next,
	.stop	= shm_proc_stop,
	.show	= shm_proc_show,
};

static struct shm_kernel_region *shm_region0(void)
{
	return list_first_entry(&shm_nodes, struct shm_node, link)->region;
}

static int shm_phymem_addr_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%08lx\n", (unsigned long)shm_phys(m, shm_region0()));
	return 0;
}

static int shm_phymem_size_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%lu\n", (unsigned long)shm_kernel_size(shm_region0()));
	return 0;
}

static int shm_info_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%lx %lu\n", (unsigned long)shm_phys(m, shm_region0()),
		   (unsigned long)shm_kernel_size(shm_region0()));
	return 0;
}

/* What cannot be made, for instance because the name is taken, is not there. */
static void shm_add_proc(void)
{
	shm_proc_regions = proc_create_seq_private(SHM_NAME, 0444, NULL,
						   &shm_proc_ops,
						   sizeof(struct shm_kernel_info),
						   NULL);
	shm_proc_memshare = proc_mkdir("memshare", NULL);
	if (shm_proc_memshare) {
		proc_create_single("phymem_addr", 0444, shm_proc_memshare,
				   shm_phymem_addr_show);
		proc_create_single("phymem_size", 0444, shm_proc_memshare,
				   shm_phymem_size_show);
	}
	shm_proc_shm_dir = proc_mkdir("shm_dir", NULL);
	if (shm_proc_shm_dir)
		proc_create_single("shm_info", 0444, shm_proc_shm_dir,
				   shm_info_show);
}

static void shm_remove_proc(void)
{
	proc_remove(shm_proc_regions);
	proc_remove(shm_proc_memshare);
	proc_remove(shm_proc_shm_dir);
}
#else
static void shm_add_proc(void)
{
}

static void shm_remove_proc(void)
{
}
#endif

static void shm_inode_init_once(void *object)
{
	struct shm_kernel_region *region = object;

	inode_init_once(&region->inode);
}

static void shm_drop_persistent(void)
{
	struct rb_node *node;

	while ((node = rb_first(&shm_names)))
		shm_unbind(shm_name_entry(node));
}

static int shm_gone_open(struct inode *inode, struct file *file)
{
	return -ENODEV;
}

/* Without .owner, which a module that goes could not be got for. */
static const struct file_operations shm_gone_fops = {
	.open		= shm_gone_open,
};

/* An O_PATH descriptor may still lead to a region; nothing else does. */
static void shm_refuse_opens(void)
{
	struct rb_node *node;

	guard(mutex)(&shm_regions_lock);
	for (node = rb_first(&shm_regions); node; node = rb_next(node))
		rb_entry(node, struct shm_kernel_region, id_link)->inode.i_fop =
			&shm_gone_fops;
}

/*
 * The last file of a region is closed in two steps: __fput() first drops the
 * module's reference and then the file's on the region and on the mount. We may
 * be called in between, or while an O_PATH descriptor, which has no reference
 * on the module at all, leads to a region. So before anything of the module can
 * go, wait until nobody but us has the superblock, and then until inodes freed
 * by RCU are gone.
 */
static void shm_unmount(void)
{
	struct super_block *sb = shm_mnt->mnt_sb;
	unsigned int waited = 0;

	atomic_inc(&sb->s_active);
	kern_unmount(shm_mnt);
	while (atomic_read(&sb->s_active) > 1) {
		fsleep(USEC_PER_MSEC);
		if (++waited == MSEC_PER_SEC)
			pr_notice("unloading waits for an O_PATH descriptor of a region to be closed\n");
	}
	deactivate_super(sb);
	rcu_barrier();
}

static void shm_teardown(void)
{
	struct shm_node *node, *next;

	debugfs_remove(shm_debugfs);
	shm_remove_proc();
	list_for_each_entry_safe(node, next, &shm_nodes, link)
		shm_free_node(node);
	shm_drop_persistent();
	shm_refuse_opens();
	shm_unmount();
	kmem_cache_destroy(shm_region_cache);
	xa_destroy(&shm_users);
}

static int __init shm_init(void)
{
	int err;

	/* What one side of a mapping stores, the other would not see. */
	if (cpu_dcache_is_aliasing()) {
		pr_err("the data cache of this processor has aliases\n");
		return -EOPNOTSUPP;
	}
	shm_region_cache = kmem_cache_create("shm_kernel_region",
					     sizeof(struct shm_kernel_region), 0,
					     SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT,
					     shm_inode_init_once);
	if (!shm_region_cache)
		return -ENOMEM;
	shm_mnt = kern_mount(&shm_fs_type);
	if (IS_ERR(shm_mnt)) {
		kmem_cache_destroy(shm_region_cache);
		return PTR_ERR(shm_mnt);
	}

	shm_debugfs = debugfs_create_dir(SHM_NAME, NULL);
	debugfs_create_file("stats", 0400, shm_debugfs, NULL, &shm_stats_fops);

	err = shm_add_region0();
	err = err ?: shm_add_listed_regions();
	if (!err)
		shm_add_proc();
	err = err ?: shm_register_nodes();
	if (err)
		shm_teardown();
	return err;
}
module_init(shm_init);

static void __exit shm_exit(void)
{
	shm_teardown();
}
module_exit(shm_exit);

MODULE_AUTHOR("shm_kernel developers <shm-kernel@example.org>");
MODULE_DESCRIPTION("Memory shared by the kernel and user space");
MODULE_LICENSE("GPL");

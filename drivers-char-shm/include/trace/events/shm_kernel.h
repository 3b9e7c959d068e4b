/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM shm_kernel

#if !defined(_TRACE_SHM_KERNEL_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_SHM_KERNEL_H

#include <linux/tracepoint.h>

TRACE_EVENT(shm_kernel_create,
	    TP_PROTO(u64 id, u64 size, u32 flags),
	    TP_ARGS(id, size, flags),
	    TP_STRUCT__entry(__field(u64, id)
			     __field(u64, size)
			     __field(u32, flags)),
	    TP_fast_assign(__entry->id = id;
			   __entry->size = size;
			   __entry->flags = flags;),
	    TP_printk("id=%llu size=%llu flags=%#x",
		      __entry->id, __entry->size, __entry->flags));

DECLARE_EVENT_CLASS(shm_kernel_name,
		    TP_PROTO(u64 id, const char *name, unsigned int len),
		    TP_ARGS(id, name, len),
		    TP_STRUCT__entry(__field(u64, id)
				     __dynamic_array(char, name, len)),
		    TP_fast_assign(__entry->id = id;
				   memcpy(__get_dynamic_array(name), name, len);),
		    /* A name may hold any bytes but '/' and NUL. */
		    TP_printk("id=%llu name=%*pE", __entry->id,
			      __get_dynamic_array_len(name), (char *)__get_dynamic_array(name)));

DEFINE_EVENT(shm_kernel_name, shm_kernel_bind,
	     TP_PROTO(u64 id, const char *name, unsigned int len),
	     TP_ARGS(id, name, len));

DEFINE_EVENT(shm_kernel_name, shm_kernel_remove,
	     TP_PROTO(u64 id, const char *name, unsigned int len),
	     TP_ARGS(id, name, len));

TRACE_EVENT(shm_kernel_map,
	    TP_PROTO(u64 id, u64 offset, u64 length),
	    TP_ARGS(id, offset, length),
	    TP_STRUCT__entry(__field(u64, id)
			     __field(u64, offset)
			     __field(u64, length)),
	    TP_fast_assign(__entry->id = id;
			   __entry->offset = offset;
			   __entry->length = length;),
	    TP_printk("id=%llu offset=%llu length=%llu",
		      __entry->id, __entry->offset, __entry->length));

TRACE_EVENT(shm_kernel_notify,
	    TP_PROTO(u64 id, u64 rings, bool kernel),
	    TP_ARGS(id, rings, kernel),
	    TP_STRUCT__entry(__field(u64, id)
			     __field(u64, rings)
			     __field(bool, kernel)),
	    TP_fast_assign(__entry->id = id;
			   __entry->rings = rings;
			   __entry->kernel = kernel;),
	    TP_printk("id=%llu rings=%llu by=%s", __entry->id, __entry->rings,
		      __entry->kernel ? "kernel" : "user"));

TRACE_EVENT(shm_kernel_peer,
	    TP_PROTO(u64 id, bool comes, bool kernel, unsigned int peers),
	    TP_ARGS(id, comes, kernel, peers),
	    TP_STRUCT__entry(__field(u64, id)
			     __field(bool, comes)
			     __field(bool, kernel)
			     __field(unsigned int, peers)),
	    TP_fast_assign(__entry->id = id;
			   __entry->comes = comes;
			   __entry->kernel = kernel;
			   __entry->peers = peers;),
	    TP_printk("id=%llu %s by=%s peers=%u", __entry->id,
		      __entry->comes ? "come" : "gone",
		      __entry->kernel ? "kernel" : "user", __entry->peers));

TRACE_EVENT(shm_kernel_revoke,
	    TP_PROTO(u64 id),
	    TP_ARGS(id),
	    TP_STRUCT__entry(__field(u64, id)),
	    TP_fast_assign(__entry->id = id;),
	    TP_printk("id=%llu", __entry->id));

#endif /* _TRACE_SHM_KERNEL_H */

/* This part must be outside protection */
#include <trace/define_trace.h>

/* SPDX-License-Identifier: BSL-1.0 */
/*
 * The two ends of a ring, each as the SDK's or as the kernel's
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#ifndef SHM_KERNEL_TESTS_RING_SIDES_HPP
#define SHM_KERNEL_TESTS_RING_SIDES_HPP

#include "kernel/kernel_ring.h"
#include "ring_support.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace test {

enum class side { sdk, kernel };

enum class put_result { done, full, corrupted };

/* A producer of a lane. */
class producer
{
public:
	virtual ~producer() = default;

	/* Room for a record, counted as dropped if there is none. */
	virtual put_result reserve(std::uint32_t size, void **data) = 0;
	/* Returns whether the doorbell is to be rung. */
	virtual bool commit() = 0;
	virtual void discard() = 0;

	put_result put(const std::string &text)
	{
		void *data;
		const put_result result =
			reserve(static_cast<std::uint32_t>(text.size()), &data);

		if (result != put_result::done)
			return result;
		if (!text.empty())
			std::memcpy(data, text.data(), text.size());
		rings = commit();
		return result;
	}

	bool rings = false;
};

class sdk_producer final : public producer
{
public:
	sdk_producer(const ring_memory &memory, std::uint32_t lane, bool fences)
		: m_writer(memory.writer(lane, fences))
	{
	}

	put_result reserve(std::uint32_t size, void **data) override
	{
		std::error_code error;
		const auto slot = m_writer.try_reserve(
			size, shm_kernel::when_full::drop, error);

		if (error == shm_kernel::errc::ring_corrupted)
			return put_result::corrupted;
		shm_kernel_expect_none(error);
		*data = slot.data();
		return slot ? put_result::done : put_result::full;
	}
	bool commit() override { return m_writer.commit(); }
	void discard() override { m_writer.discard(); }

	shm_kernel::ring_writer &writer() { return m_writer; }

private:
	static void shm_kernel_expect_none(const std::error_code &error)
	{
		if (error)
			throw std::system_error(error, "reserve");
	}

	shm_kernel::ring_writer m_writer;
};

class kernel_producer final : public producer
{
public:
	kernel_producer(const ring_memory &memory, std::uint32_t lane)
	{
		int error;

		m_writer.reset(kernel_writer_new(memory.data(), memory.size(),
						 lane, &error));
		if (error)
			throw std::system_error(-error,
						std::generic_category());
	}

	put_result reserve(std::uint32_t size, void **data) override
	{
		const int error =
			kernel_writer_reserve(m_writer.get(), size, &m_slot);

		if (error == -ENOSPC)
			return put_result::full;
		if (error == -EBADMSG)
			return put_result::corrupted;
		if (error)
			throw std::system_error(-error,
						std::generic_category());
		*data = m_slot.data;
		return put_result::done;
	}
	bool commit() override
	{
		return kernel_writer_commit(m_writer.get(), &m_slot);
	}
	void discard() override
	{
		kernel_writer_discard(m_writer.get(), &m_slot);
	}

	kernel_writer *writer() { return m_writer.get(); }

private:
	struct deleter
	{
		void operator()(kernel_writer *writer) const
		{
			kernel_writer_free(writer);
		}
	};

	std::unique_ptr<kernel_writer, deleter> m_writer;
	kernel_slot m_slot = {};
};

/* A consumer of a lane. */
class consumer
{
public:
	virtual ~consumer() = default;

	/* Nothing if there is no record; throws if the ring was spoiled. */
	virtual std::optional<std::string> get() = 0;
	/* Returns whether there is a record, or asks to be rung for one. */
	virtual bool ask() = 0;
	virtual bool take_room_wanted() = 0;
	virtual std::uint64_t lost() = 0;
};

class sdk_consumer final : public consumer
{
public:
	sdk_consumer(const ring_memory &memory, std::uint32_t lane)
		: m_reader(memory.reader(lane)), m_buffer(m_reader.max_record())
	{
	}

	std::optional<std::string> get() override
	{
		if (m_reader.overwrites()) {
			const auto size = m_reader.try_copy(m_buffer.data(),
							    m_buffer.size());

			if (!size)
				return std::nullopt;
			return std::string(m_buffer.data(), *size);
		}

		const auto view = m_reader.try_read();

		if (!view)
			return std::nullopt;
		return std::string(static_cast<const char *>(view.data()),
				   view.size());
	}
	bool ask() override { return m_reader.arm(); }
	bool take_room_wanted() override { return m_reader.take_room_wanted(); }
	std::uint64_t lost() override { return m_reader.lost(); }

	shm_kernel::ring_reader &reader() { return m_reader; }

private:
	shm_kernel::ring_reader m_reader;
	std::vector<char> m_buffer;
};

class kernel_consumer final : public consumer
{
public:
	kernel_consumer(const ring_memory &memory, std::uint32_t lane)
		: m_buffer(memory.size())
	{
		int error;

		m_reader.reset(kernel_reader_new(memory.data(), memory.size(),
						 lane, &error));
		if (error)
			throw std::system_error(-error,
						std::generic_category());
	}

	std::optional<std::string> get() override
	{
		const ssize_t size = kernel_reader_read(
			m_reader.get(), m_buffer.data(), m_buffer.size());

		if (size == -EAGAIN)
			return std::nullopt;
		if (size == -EBADMSG)
			throw std::system_error(make_error_code(
				shm_kernel::errc::ring_corrupted));
		if (size < 0)
			throw std::system_error(static_cast<int>(-size),
						std::generic_category());
		return std::string(m_buffer.data(),
				   static_cast<std::size_t>(size));
	}
	bool ask() override { return kernel_reader_ask(m_reader.get()); }
	bool take_room_wanted() override
	{
		return kernel_reader_take_room_wanted(m_reader.get());
	}
	std::uint64_t lost() override
	{
		return kernel_reader_lost(m_reader.get());
	}

private:
	struct deleter
	{
		void operator()(kernel_reader *reader) const
		{
			kernel_reader_free(reader);
		}
	};

	std::unique_ptr<kernel_reader, deleter> m_reader;
	std::vector<char> m_buffer;
};

inline std::unique_ptr<producer> make_producer(side which,
					       const ring_memory &memory,
					       std::uint32_t lane = 0,
					       bool fences = false)
{
	if (which == side::kernel)
		return std::make_unique<kernel_producer>(memory, lane);
	return std::make_unique<sdk_producer>(memory, lane, fences);
}

inline std::unique_ptr<consumer>
make_consumer(side which, const ring_memory &memory, std::uint32_t lane = 0)
{
	if (which == side::kernel)
		return std::make_unique<kernel_consumer>(memory, lane);
	return std::make_unique<sdk_consumer>(memory, lane);
}

} // namespace test

#endif /* SHM_KERNEL_TESTS_RING_SIDES_HPP */

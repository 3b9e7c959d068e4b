/* SPDX-License-Identifier: BSL-1.0 */
/*
 * What a new region shall be like
 *
 * Copyright (C) 2026 shm_kernel developers <shm-kernel@example.org>
 */

#include <shm_kernel/create_options.hpp>

#include <stdexcept>

namespace shm_kernel {

struct create_options::impl
{
	std::string name;
	std::string tag;
	std::uint64_t size = 0;
	std::optional<int> numa_node;
	mode_t mode = 0600;
	bool persistent = false;
	bool contiguous = false;
	bool small_pages = false;
};

create_options::create_options() : m_impl(std::make_unique<impl>())
{
}

create_options::create_options(const create_options &other)
	: m_impl(std::make_unique<impl>(*other.m_impl))
{
}

create_options &create_options::operator=(const create_options &other)
{
	*m_impl = *other.m_impl;
	return *this;
}

create_options::~create_options() = default;

create_options &create_options::set_name(std::string_view name)
{
	m_impl->name = name;
	return *this;
}

create_options &create_options::set_size(std::uint64_t size)
{
	m_impl->size = size;
	return *this;
}

create_options &create_options::set_mode(mode_t mode)
{
	m_impl->mode = mode;
	return *this;
}

create_options &create_options::set_persistent(bool value)
{
	m_impl->persistent = value;
	return *this;
}

create_options &create_options::set_contiguous(bool value)
{
	m_impl->contiguous = value;
	return *this;
}

create_options &create_options::set_small_pages(bool value)
{
	m_impl->small_pages = value;
	return *this;
}

create_options &create_options::set_numa_node(std::optional<int> node)
{
	m_impl->numa_node = node;
	return *this;
}

create_options &create_options::set_tag(const void *bytes, std::size_t size)
{
	return set_tag(
		std::string_view(static_cast<const char *>(bytes), size));
}

create_options &create_options::set_tag(std::string_view text)
{
	if (text.size() > tag_size)
		throw std::length_error(
			"shm_kernel: a tag has at most 32 bytes");
	m_impl->tag = text;
	return *this;
}

const std::string &create_options::name() const noexcept
{
	return m_impl->name;
}

std::uint64_t create_options::size() const noexcept
{
	return m_impl->size;
}

mode_t create_options::mode() const noexcept
{
	return m_impl->mode;
}

bool create_options::persistent() const noexcept
{
	return m_impl->persistent;
}

bool create_options::contiguous() const noexcept
{
	return m_impl->contiguous;
}

bool create_options::small_pages() const noexcept
{
	return m_impl->small_pages;
}

std::optional<int> create_options::numa_node() const noexcept
{
	return m_impl->numa_node;
}

const std::string &create_options::tag() const noexcept
{
	return m_impl->tag;
}

} // namespace shm_kernel

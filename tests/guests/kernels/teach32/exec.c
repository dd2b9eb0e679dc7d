/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Another program for the same process: an ELF file from the disk. */
#include "kernel.h"

struct elf {
	u32 magic, ident[3];
	u16 type, machine;
	u32 version, entry, program_at, section_at, flags;
	u16 header_bytes, program_bytes, n_programs;
} __attribute__((packed));
struct program {
	u32 type, offset, address, physical, file_bytes, memory_bytes, flags, alignment;
};
enum { ELF_MAGIC = 0x464C457F, LOAD = 1, WRITABLE = 2 };

static bool load(u32 *directory, int inode, const struct program *program)
{
	if (program->address < USER_TEXT || program->address + program->memory_bytes > USER_STACK_LIMIT ||
	    program->address + program->memory_bytes < program->address || program->file_bytes > program->memory_bytes ||
	    !user_map(directory, program->address, program->memory_bytes))
		return false;
	for (u32 done = 0, n; done < program->file_bytes; done += n) {
		u32 address = program->address + done, room = PAGE - address % PAGE;
		n = program->file_bytes - done < room ? program->file_bytes - done : room;
		u8 *page = user_page(directory, address);
		if (file_read(inode, program->offset + done, page + address % PAGE, n) != (int)n)
			return false;
	}
	if (!(program->flags & WRITABLE))
		user_protect(directory, program->address, program->memory_bytes);
	return true;
}

/* The strings at the top of the stack, below them their addresses, below these argc and argv for main(). */
static u32 push_arguments(u32 *directory, char *const *arguments)
{
	u32 pointers[MAX_ARGS + 1], n = 0, top = PAGE;
	u8 *page = user_page(directory, USER_STACK_TOP - PAGE);
	for (; arguments[n] && n < MAX_ARGS; n++) {
		u32 size = 0;
		while (arguments[n][size++])
			;
		if (size > top / 2)
			return 0;
		top = (top - size) & -4u;
		memcpy(page + top, arguments[n], size);
		pointers[n] = USER_STACK_TOP - PAGE + top;
	}
	pointers[n] = 0;
	top -= 4 * (n + 1);
	memcpy(page + top, pointers, 4 * (n + 1));
	u32 head[] = {0xFFFFFFFF, n, USER_STACK_TOP - PAGE + top};
	top -= sizeof head;
	memcpy(page + top, head, sizeof head);
	return USER_STACK_TOP - PAGE + top;
}

int exec(const char *path, char *const *arguments)
{
	struct elf elf;
	struct program program;
	struct process *self = current();
	int inode = file_find(path);
	if (inode < 0 || file_read(inode, 0, &elf, sizeof elf) != sizeof elf || elf.magic != ELF_MAGIC)
		return -1;
	u32 *directory = directory_new(), brk = 0;
	if (!directory)
		return -1;
	for (u32 i = 0; i < elf.n_programs; i++) {
		if (file_read(inode, elf.program_at + i * sizeof program, &program, sizeof program) != sizeof program)
			goto bad;
		if (program.type != LOAD || !program.memory_bytes)
			continue;
		if (!load(directory, inode, &program))
			goto bad;
		if (program.address + program.memory_bytes > brk)
			brk = program.address + program.memory_bytes;
	}
	if (!user_map(directory, USER_STACK_TOP - PAGE, PAGE))
		goto bad;
	u32 stack = push_arguments(directory, arguments);
	if (!stack)
		goto bad;
	copy_string(self->name, path, sizeof self->name);
	u32 *old = self->directory;
	self->directory = directory;
	self->brk = brk;
	self->frame->eip = elf.entry;
	self->frame->esp = stack;
	directory_use(directory);
	directory_free(old);
	return 0;
bad:
	directory_free(directory);
	return -1;
}

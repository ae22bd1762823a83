/* SPDX-License-Identifier: ISC */
/*
 * The least ACPI with which Linux finds a PVH guest's processors: RSDP, XSDT, FADT
 * (hardware-reduced), MADT with a local APIC for each virtual processor, an empty DSDT. Without a
 * MADT it boots, but its timers never fire. Layout of the tables: ACPI specification 5.1,
 * chapter 5.2.
 */
#include <string.h>

#include "xendom.h"

enum { XSDT = 0, FADT = 64, DSDT = 352, MADT = 400 };
enum { FADT_LEN = 268, HEADER_LEN = 36, MADT_LEN = 44, LAPIC_LEN = 8, RSDP_LEN = 36 };
enum { NO_VGA = 1 << 2, NO_RTC = 1 << 5 }; /* FADT, IA-PC boot flags */
enum { NO_POWER_BUTTON = 1 << 4, NO_SLEEP_BUTTON = 1 << 5, HW_REDUCED = 1 << 20 }; /* FADT, flags */

_Static_assert(MADT + MADT_LEN + LAPIC_LEN * VM_VCPUS_MAX <= ACPI_PAGE, "the tables fit a page");

static void
put(uint8_t *p, uint64_t v, int bytes)
{
	for (; bytes > 0; bytes--, v >>= 8)
		*p++ = (uint8_t)v;
}

static void
letters(uint8_t *p, const char *s)
{
	while (*s)
		*p++ = (uint8_t)*s++;
}

static void
checksum(uint8_t *p, size_t n, uint8_t *at)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = (uint8_t)(sum + p[i]);
	*at = (uint8_t)(*at - sum);
}

static void
header(uint8_t *t, const char *signature, uint32_t len, uint8_t revision)
{
	letters(t, signature);
	put(t + 4, len, 4);
	t[8] = revision;
	letters(t + 10, "CUBICLCUBICLE "); /* OEM id, OEM table id */
	checksum(t, len, t + 9);
}

void
acpi_make(uint8_t rsdp[ACPI_PAGE], uint8_t tables[ACPI_PAGE], uint32_t vcpus)
{
	const uint64_t at = ACPI_BASE + ACPI_PAGE;
	uint8_t *apic = tables + MADT + MADT_LEN;

	memset(rsdp, 0, ACPI_PAGE);
	memset(tables, 0, ACPI_PAGE);
	letters(rsdp, "RSD PTR ");
	letters(rsdp + 9, "CUBICL");
	rsdp[15] = 2;
	put(rsdp + 20, RSDP_LEN, 4);
	put(rsdp + 24, at + XSDT, 8);
	checksum(rsdp, 20, rsdp + 8);
	checksum(rsdp, RSDP_LEN, rsdp + 32);

	put(tables + XSDT + HEADER_LEN, at + FADT, 8);
	put(tables + XSDT + HEADER_LEN + 8, at + MADT, 8);
	header(tables + XSDT, "XSDT", HEADER_LEN + 16, 1);
	put(tables + FADT + 109, NO_VGA | NO_RTC, 2);
	put(tables + FADT + 112, HW_REDUCED | NO_POWER_BUTTON | NO_SLEEP_BUTTON, 4);
	put(tables + FADT + 140, at + DSDT, 8);
	header(tables + FADT, "FACP", FADT_LEN, 5);
	put(tables + MADT + HEADER_LEN, 0xfee00000, 4); /* the local APIC's address */
	for (uint32_t i = 0; i < vcpus; i++, apic += LAPIC_LEN) {
		apic[1] = LAPIC_LEN;
		apic[2] = (uint8_t)i;
		apic[3] = (uint8_t)(2 * i); /* Xen's numbering of APICs */
		apic[4] = 1;		    /* enabled */
	}
	header(tables + MADT, "APIC", MADT_LEN + LAPIC_LEN * vcpus, 3);
	header(tables + DSDT, "DSDT", HEADER_LEN, 2);
}

/* store_data: content of the digest's test vectors (reference/mcp-v8.md 2.5). */
#ifndef SBX_TESTS_STORE_DATA_H
#define SBX_TESTS_STORE_DATA_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t xorshift(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Noise by rule. */
static inline void fill_xorshift(uint8_t *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(xorshift(&seed) >> 24);
}

#define EMPTY_TREE "71e0a99173564931c0b8acc52d2685a8e39c64dc52e3d02390fdac2a12b155cb"
#define A_BASE "c06627dd74ab42c0281ff0047ce5c0aad554fa7aca333f308fb0e0cfe50680f6"
#define A_BASE_BYTES "010000000000000001000000000000006101a40100000400000000000000000000000400000000000000626173650000"
#define ENTRY_BASE "379dc13735996c56dfb1dcd16ceda0363dd91752692ac450fe51301245187ab0"
#define DATA_NOTE "705b51e8486197313cdbb2125bedd77ed9006f8d811a4c455a0068ded70d6ae1"
#define DATA_NOTE_SUB "50719589b800145c1c46591b90d4fc482b77742f5062cd3dad6551d73fa91597"
#define A_AND_B_C "692bc828361fce9e296ae58ab491218c604177c0e0a91c040c1c7f8e4125b185"
#define EMPTY_FILE "bb6a3e81d15d95124669027a100c86024a9406adbf6878da6aa3027d9a3c4f2d"
#define LINK_T "297dbd9095fcd2633cf949de1ebc615371411e52714b71a9a73f133b0d588cbd"
#define FILE_AND_DIR "a274de34cb839f15e1501ffec23f10cc5941cc85d35ba2b2ca414da27954af47"
#define ZEROS_INLINE "1eb54ff954ada01ef1130cf135dc41bd6fece6625b326d2d3766fb631e2a133a"
#define ZEROS_CHUNKED "1952eb2d5496120295809fd5ef3001fa9102cfdac27feee072d4b937f45d1581"
#define ZEROS_CHUNK "01779fe4dd4c044195009648d5b24ba30a63f3b7c4958529e423a7da3766baf9"
#define BIG_BIN "d5742dc9a5c6154c88d75d9c310de8db2287dc16ea50c5424022975c0f5046e7"

#endif

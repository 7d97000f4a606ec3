/* version: what this build is (git describe, set by the Makefile in one object). */
#ifndef SBX_BASE_VERSION_H
#define SBX_BASE_VERSION_H
extern const char sbx_version[];
#endif

#!/usr/bin/env python3
"""A plain model of mcp-v8's text merge and unified diff (reference/mcp-v8.md 2.10), on lists, without any care for speed. It was run once:
it prints the digest that t_merge.c expects of the merges and diffs of the texts that rule_triple() in oracle.h makes."""
import re


def split(t):
    return re.findall(rb'[^\n]*\n|[^\n]+', t)
def middle(a,b):
    n,m=len(a),len(b); delta=n-m; odd=delta&1
    f={1:0}; g={1:0}
    for d in range((n+m+1)//2+1):
        for k in range(d,-d-1,-2):
            x = f[k+1] if k==-d or (k!=d and f[k-1]<f[k+1]) else f[k-1]+1
            y=x-k; x0,y0=x,y
            while x<n and y<m and a[x]==b[y]: x+=1;y+=1
            f[k]=x
            if odd and abs(k-delta)<=d-1 and f[k]+g[-(k-delta)]>=n: return x0,y0
        for k in range(d,-d-1,-2):
            x = g[k+1] if k==-d or (k!=d and g[k-1]<g[k+1]) else g[k-1]+1
            y=x-k
            while x<n and y<m and a[n-1-x]==b[m-1-y]: x+=1;y+=1
            g[k]=x
            if not odd and abs(k-delta)<=d and g[k]+f[-(k-delta)]>=n: return n-x,m-y
    assert 0
def conquer(a,b,out):
    p=0
    while p<len(a) and p<len(b) and a[p]==b[p]: p+=1
    if p: out.append(['=',a[:p],b[:p]])
    a,b=a[p:],b[p:]
    q=0
    while q<len(a) and q<len(b) and a[-1-q]==b[-1-q]: q+=1
    ta,tb=a[len(a)-q:],b[len(b)-q:]
    a,b=a[:len(a)-q],b[:len(b)-q]
    if not a and not b: pass
    elif not a: out.append(['+',b])
    elif not b: out.append(['-',a])
    else:
        x,y=middle(a,b)
        conquer(a[:x],b[:y],out); conquer(a[x:],b[y:],out)
    if q: out.append(['=',ta,tb])
def csuf(x,y):
    n=0
    while n<len(x) and n<len(y) and x[-1-n]==y[-1-n]: n+=1
    return n
def cpre(x,y):
    n=0
    while n<len(x) and n<len(y) and x[n]==y[n]: n+=1
    return n
def up(d,p):
    while p>0:
        t,v=d[p],d[p-1]
        if v[0]=='=':
            n=csuf(t[1], v[1])
            if n:
                moved=v[1][len(v[1])-n:]
                if p+1<len(d) and d[p+1][0]=='=': d[p+1]=['=',moved+d[p+1][1]]
                else: d.insert(p+1,['=',moved])
                d[p]=[t[0], moved+t[1][:len(t[1])-n]]
                d[p-1]=['=',v[1][:len(v[1])-n]]
                if not d[p-1][1]: del d[p-1]; p-=1
            elif not v[1]: del d[p-1]; p-=1
            else: break
        elif v[0]!=t[0]: d[p-1],d[p]=d[p],d[p-1]; p-=1
        else: d[p-1]=[v[0],v[1]+t[1]]; del d[p]; p-=1
    return p
def down(d,p):
    while p+1<len(d):
        t,v=d[p],d[p+1]
        if v[0]=='=':
            n=cpre(t[1],v[1])
            if n:
                moved=v[1][:n]
                if p>0 and d[p-1][0]=='=': d[p-1]=['=',d[p-1][1]+moved]
                else: d.insert(p,['=',moved]); p+=1
                d[p]=[t[0], t[1][n:]+moved]
                d[p+1]=['=',v[1][n:]]
                if not d[p+1][1]: del d[p+1]
            elif not v[1]: del d[p+1]
            else: break
        elif v[0]!=t[0]: d[p],d[p+1]=d[p+1],d[p]; p+=1
        else: d[p]=[t[0],t[1]+v[1]]; del d[p+1]
    return p
def script(a,b):
    d=[]; conquer(a,b,d); d=[[o[0],list(o[1])] for o in d]
    for kind in '-+':
        p=0
        while p<len(d):
            if d[p][0]==kind: p=up(d,p); p=down(d,p)
            p+=1
    return d
def merge(base,ours,theirs):
    B,O,T=split(base),split(ours),split(theirs)
    # per base line: kept by each side? inserted before each gap
    def view(X):
        ins=[[] for _ in range(len(B)+1)]; kept=[False]*len(B); p=0
        for k,v in script(B,X):
            if k=='=':
                for i in range(len(v)): kept[p+i]=True
                p+=len(v)
            elif k=='-': p+=len(v)
            else: ins[p]+=v
        return ins,kept
    (io,ko),(it,kt)=view(O),view(T)
    out=[];conf=0
    rb,ro,rt=[],[],[]
    def flush():
        nonlocal conf,rb,ro,rt
        if rb or ro or rt:
            if ro==rt: out.extend(rt)
            elif rb==ro: out.extend(rt)
            elif rb==rt: out.extend(ro)
            else:
                conf+=1
                out.extend([b'<<<<<<< ours\n',*ro,b'||||||| original\n',*rb,b'=======\n',*rt,b'>>>>>>> theirs\n'])
        rb,ro,rt=[],[],[]
    for i in range(len(B)+1):
        ro+=io[i]; rt+=it[i]
        if i==len(B): break
        if ko[i] and kt[i]:
            flush(); out.append(B[i])
        else:
            rb.append(B[i])
            if ko[i]: ro.append(B[i])
            if kt[i]: rt.append(B[i])
    flush()
    return b''.join(out),conf
def udiff(old,new):
    A,B=split(old),split(new)
    es=[];cur=None;i=j=0
    for k,v in script(A,B):
        if k=='=':
            i+=len(v);j+=len(v)
            if cur: es.append(cur);cur=None
        else:
            if not cur: cur=[i,i,j,j]
            if k=='-': i+=len(v);cur[1]=i
            else: j+=len(v);cur[3]=j
    if cur: es.append(cur)
    if not es: return b''
    out=b'--- original\n+++ modified\n'
    C=3
    def cend(e1,e2):
        p=min(C,min(len(A)-e1,len(B)-e2)); return e1+p,e2+p
    def ln(s,l):
        r=l if s==b' ' and l==b'\n' else s+l
        return r if l.endswith(b'\n') else r+b'\n\\ No newline at end of file\n'
    x=0
    while x<len(es):
        s=es[x]; s1=max(0,s[0]-C); s2=max(0,s[2]-C); e1,e2=cend(s[1],s[3])
        L=[ln(b' ',l) for l in B[s2:s[2]]]
        while True:
            L+=[ln(b'-',l) for l in A[s[0]:s[1]]]+[ln(b'+',l) for l in B[s[2]:s[3]]]
            if x+1<len(es):
                t=es[x+1]
                if max(0,min(t[0],len(A)-1)-C)<e1:
                    for _,q in zip(range(s[1],t[0]),range(s[3],t[2])): L.append(ln(b' ',B[q]))
                    e1,e2=cend(t[1],t[3]); s=t; x+=1; continue
            break
        L+=[ln(b' ',l) for l in B[s[3]:e2]]
        r=lambda st,n: (b'%d'%(st+1 if n>0 else st))+(b'' if n==1 else b',%d'%n)
        out+=b'@@ -'+r(s1,e1-s1)+b' +'+r(s2,e2-s2)+b' @@\n'+b''.join(L)
        x+=1
    return out
M=(1<<64)-1
class R:
    def __init__(s,x): s.x=x
    def next(s):
        x=s.x; x^=(x<<13)&M; x^=x>>7; x^=(x<<17)&M; s.x=x; return x>>11
    def below(s,n): return s.next()%n
def splice(t,at,drop,add,al,r):
    drop=min(drop,len(t)-at)
    if len(t)+add>400: add=0
    t[at:at+drop]=[r.below(al) for _ in range(add)]
def edit(t,e,al,r):
    for _ in range(r.below(e+1)):
        w=r.below(3); at=r.below(len(t)+1); drop=0 if w==0 else 1+r.below(4); add=0 if w==1 else 1+r.below(4)
        splice(t,at,drop,add,al,r)
def render(t,r,eol):
    s=b''.join(b'%d'%v+eol for v in t)
    if s and r.below(8)==0: s=s[:-1]
    return s
def triple(seed,eol=b'\n'):
    r=R((seed*0x9e3779b97f4a7c15+1)&M)
    for _ in range(4): r.next()
    al=[2,3,5,30][r.below(4)]; e=1+r.below(8); b=[]; splice(b,0,0,r.below(60),al,r)
    o=list(b); h=list(b); edit(o,e,al,r); edit(h,e,al,r)
    return render(b,r,eol),render(o,r,eol),render(h,r,eol)
if __name__=='__main__':
    h=0xcbf29ce484222325
    def add(s):
        global h
        for c in s+b'\0': h=((h^c)*0x100000001b3)&M
    conf=0
    for seed in range(1,2001):
        b,o,t=triple(seed); m,c=merge(b,o,t); conf+=c>0; add(m); add(udiff(b,o))
    print(hex(h),conf)

using CudaLora.Kernels.Runtime;
using Kernel = CudaLora.Kernels.Ops.AdamW;

namespace CudaLora.Engine;

/// <summary>
/// Moments in pinned host memory that pass by the device a page at a time: copied there on a stream of their own ahead
/// of the update, and back on another behind it. Three pages have room, one on its way in, one in use, one on its way
/// out. No managed memory: what is where is known at every moment, so that a captured step can be replayed.
/// </summary>
internal sealed unsafe class MomentPages : IDisposable
{
    private const int MostWindows = 3;
    // The widest access, and a cache line.
    private const int Alignment = 256;
    // A copy is a span.
    private const long MostPageBytes = 1 << 30;

    private readonly CudaDevice device;
    private readonly Storage host;
    private readonly Storage window;
    private readonly long windowBytes;
    private readonly int windows;
    private readonly Page[] pages;
    private readonly CudaStream inStream;
    private readonly CudaStream outStream;
    private readonly CudaEvent ready;
    private readonly CudaEvent[] loaded;
    private readonly CudaEvent[] updated;
    private readonly CudaEvent[] stored;
    private bool prefetched;

    /// <summary>Places the moments, zero, and plans their way.</summary>
    /// <param name="device">Where the update runs.</param>
    /// <param name="moments">In the order of the update.</param>
    /// <param name="counts">Values of each.</param>
    /// <param name="pageBytes">Most bytes of a page; a chunk of the update at least.</param>
    public MomentPages(
        CudaDevice device, IReadOnlyList<Moments> moments, IReadOnlyList<long> counts, long pageBytes)
    {
        this.device = device;
        var plan = new Plan(moments, counts, Math.Min(pageBytes, MostPageBytes));
        pages = [.. plan.Pages];
        windowBytes = Math.Max(1, pages.Max(page => page.Bytes));
        windows = Math.Min(MostWindows, pages.Length);
        host = device.PinnedMemory.Rent(Math.Max(1, plan.HostBytes));
        for (var i = 0; i < moments.Count; i++)
            moments[i].Place(host, plan.HostOffsets[i]);
        try
        {
            window = device.Rent(windows * windowBytes);
        }
        catch
        {
            host.Release();
            throw;
        }
        Pieces = [.. pages.SelectMany((page, i) => page.Cuts.Select(cut => Piece(cut, WindowOf(i))))];
        (inStream, outStream) = (new CudaStream(device.Context), new CudaStream(device.Context));
        ready = new CudaEvent(device.Context, timing: false);
        (loaded, updated, stored) = (Events(), Events(), Events());
    }

    /// <summary>What the update finds in each page, page by page.</summary>
    public IReadOnlyList<MomentPiece> Pieces { get; }

    /// <summary>Number of pieces of each page.</summary>
    public IEnumerable<int> PieceCounts => pages.Select(page => page.Cuts.Count);

    /// <summary>
    /// Queues the copies of the first pages, as many as have room, beside the work that is queued from here on.
    /// </summary>
    public void Prefetch()
    {
        // What is queued so far may still write the host's memory or read the window.
        ready.Record(device.Stream);
        inStream.Wait(ready);
        for (var page = 0; page < windows; page++)
            Load(page);
        prefetched = true;
    }

    /// <summary>Queues an update page by page, with the copies around it.</summary>
    /// <param name="update">Queues the update of a page.</param>
    public void Run(Action<int> update)
    {
        if (!prefetched)
            Prefetch();
        prefetched = false;
        for (var page = 0; page < pages.Length; page++)
        {
            var slot = page % windows;
            device.Stream.Wait(loaded[slot]);
            update(page);
            updated[slot].Record(device.Stream);
            outStream.Wait(updated[slot]);
            foreach (var (at, to, bytes) in pages[page].Copies)
            {
                outStream.QueueDownload(
                    new DevicePointer<byte>(WindowOf(page) + (ulong)to),
                    new Span<byte>((byte*)host.Pointer + at, bytes));
            }
            stored[slot].Record(outStream);
            if (page + windows >= pages.Length)
                continue;
            inStream.Wait(stored[slot]);
            Load(page + windows);
        }
        // Copies out are in order: the last ends the step.
        device.Stream.Wait(stored[(pages.Length - 1) % windows]);
    }

    /// <summary>Waits until the host's memory holds the moments and nothing reads it.</summary>
    public void Settle()
    {
        device.Synchronize();
        inStream.Synchronize();
        prefetched = false;
    }

    public void Dispose()
    {
        Settle();
        outStream.Synchronize();
        inStream.Dispose();
        outStream.Dispose();
        ready.Dispose();
        foreach (var signal in loaded.Concat(updated).Concat(stored))
            signal.Dispose();
        window.Release();
        host.Release();
    }

    private void Load(int page)
    {
        foreach (var (at, to, bytes) in pages[page].Copies)
        {
            inStream.Upload(
                new ReadOnlySpan<byte>((byte*)host.Pointer + at, bytes),
                new DevicePointer<byte>(WindowOf(page) + (ulong)to));
        }
        loaded[page % windows].Record(inStream);
    }

    private ulong WindowOf(int page) => window.DeviceAddress + (ulong)(page % windows * windowBytes);

    private CudaEvent[] Events() =>
        [.. Enumerable.Range(0, windows).Select(_ => new CudaEvent(device.Context, timing: false))];

    private static MomentPiece Piece(Cut cut, ulong at) => MomentPiece.Of(
        cut.Moments, cut.First, cut.Count, [.. cut.Offsets.Select(offset => at + (ulong)offset)]);

    // Values of one parameter's moments in a page; a place in the page for every part.
    private sealed record Cut(int Moments, long First, long Count, long[] Offsets);

    private sealed class Page
    {
        public List<Cut> Cuts { get; } = [];

        // From the start of the host's memory, and of the page.
        public List<(long Host, long Window, int Bytes)> Copies { get; } = [];

        public long Bytes { get; set; }

        // Whether the last copy goes to the end of its part in the host's memory.
        public bool AtEnd { get; set; }
    }

    // Moments that fit in what is left of a page lie in host memory as in the page: one copy moves them all. Larger
    // ones start a page and are cut at chunks of the update.
    private sealed class Plan
    {
        public Plan(IReadOnlyList<Moments> moments, IReadOnlyList<long> counts, long pageBytes)
        {
            HostOffsets = new long[moments.Count][];
            var page = NewPage();
            for (var i = 0; i < moments.Count; i++)
            {
                var (m, count) = (moments[i], counts[i]);
                HostOffsets[i] = new long[m.PartCount];
                for (var part = 0; part < m.PartCount; part++)
                {
                    HostOffsets[i][part] = HostBytes;
                    HostBytes += Aligned(m.PartBytes(part, count));
                }
                if (page.Bytes > 0 && page.Bytes + BytesOf(m, count) > pageBytes)
                    page = NewPage();
                var perPage = Math.Max(1, pageBytes / BytesOf(m, Kernel.ChunkSize)) * Kernel.ChunkSize;
                for (var first = 0L; first < count; first += perPage)
                {
                    if (first > 0)
                        page = NewPage();
                    Add(page, m, i, first, Math.Min(perPage, count - first), count);
                }
            }
        }

        public List<Page> Pages { get; } = [];

        public long[][] HostOffsets { get; }

        public long HostBytes { get; private set; }

        private Page NewPage()
        {
            Pages.Add(new Page());
            return Pages[^1];
        }

        private void Add(Page page, Moments m, int index, long first, long count, long total)
        {
            var offsets = new long[m.PartCount];
            for (var part = 0; part < m.PartCount; part++)
            {
                offsets[part] = page.Bytes;
                var bytes = m.PartBytes(part, count);
                Copy(page, HostOffsets[index][part] + m.PartBytes(part, first), page.Bytes, bytes);
                page.AtEnd = first + count == total;
                page.Bytes += Aligned(bytes);
            }
            page.Cuts.Add(new Cut(index, first, count, offsets));
        }

        // Joined with the one before where both ends go on, over the few bytes of alignment between them.
        private static void Copy(Page page, long host, long to, long bytes)
        {
            // Short of a part's end, what lies between them is another page's.
            if (page.AtEnd)
            {
                var (lastHost, lastTo, lastBytes) = page.Copies[^1];
                if (host - lastHost == to - lastTo && to - lastTo - lastBytes is >= 0 and < Alignment)
                {
                    page.Copies[^1] = (lastHost, lastTo, checked((int)(to - lastTo + bytes)));
                    return;
                }
            }
            page.Copies.Add((host, to, checked((int)bytes)));
        }

        private static long BytesOf(Moments m, long count) =>
            Enumerable.Range(0, m.PartCount).Sum(part => Aligned(m.PartBytes(part, count)));

        private static long Aligned(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;
    }
}

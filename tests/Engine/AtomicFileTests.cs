using CudaLora.Engine;

namespace CudaLora.Tests.Engine;

public sealed class AtomicFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>A disk that fills up after some bytes.</summary>
    private sealed class FullDisk(Stream inner, long room) : Stream
    {
        public override bool CanRead => false;
        public override bool CanSeek => false;
        public override bool CanWrite => true;
        public override long Length => inner.Length;
        public override long Position { get => inner.Position; set => inner.Position = value; }
        public override void Flush() => inner.Flush();
        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => inner.SetLength(value);

        public override void Write(byte[] buffer, int offset, int count)
        {
            if (inner.Position + count > room) throw new IOException("No space left on device");
            inner.Write(buffer, offset, count);
        }
    }

    [Fact]
    public void ReplacesTheContent()
    {
        string path = _folder.Write("a.json", "old");
        AtomicFile.WriteText(path, "new ü");
        Assert.Equal("new ü"u8.ToArray(), File.ReadAllBytes(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void CreatesTheFolder()
    {
        AtomicFile.WriteText(Path.Combine(_folder.Path, "x", "y", "a.json"), "1");
        Assert.Equal("1", File.ReadAllText(Path.Combine(_folder.Path, "x", "y", "a.json")));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(300_000)]
    public void AFullDiskLeavesTheOldFile(long room)
    {
        string path = _folder.Write("m.safetensors", "old");
        var writer = new SafetensorsWriter();
        writer.AddF32("a", [100_000], new float[100_000]);
        var e = Assert.Throws<UserErrorException>(
            () => AtomicFile.Stage(path, writer.WriteTo, s => new FullDisk(s, room)));
        Assert.Contains("m.safetensors: cannot be written (No space left on device)", e.Message);
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void AnInterruptedSaveLeavesTheOldFile()
    {
        string path = _folder.Write("a.json", "old");
        Assert.Throws<OperationCanceledException>(() => AtomicFile.Write(path, s =>
        {
            s.Write(new byte[200_000]);
            throw new OperationCanceledException();
        }));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void AStagedFileAppearsOnlyWithTheCommit()
    {
        string path = _folder.File("a.json");
        using (AtomicFile.Stage(path, s => s.Write("1"u8))) Assert.False(File.Exists(path));
        Assert.Empty(Directory.GetFiles(_folder.Path));
        using StagedFile staged = AtomicFile.Stage(path, s => s.Write("2"u8));
        staged.Commit();
        Assert.Equal("2", File.ReadAllText(path));
        Assert.Throws<ObjectDisposedException>(staged.Commit);
    }

    [Fact]
    public void ALeftoverOfAKilledSaveIsOverwritten()
    {
        string path = _folder.File("a.json");
        _folder.Write("a.json.tmp", "half of a much longer content");
        AtomicFile.WriteText(path, "new");
        Assert.Equal("new", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void AnUnwritablePathIsNamed()
    {
        string file = _folder.Write("plain", "x");
        var e = Assert.Throws<UserErrorException>(() => AtomicFile.WriteText(Path.Combine(file, "a.json"), "1"));
        Assert.Contains("a.json: cannot be written", e.Message);
        Assert.Throws<UserErrorException>(() => AtomicFile.WriteText(_folder.Path, "1"));
        Assert.True(Directory.Exists(_folder.Path));
    }
}

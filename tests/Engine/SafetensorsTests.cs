using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using CudaLora.Engine;

namespace CudaLora.Tests.Engine;

public sealed class SafetensorsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static byte[] Bytes(string header, params byte[] data)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        byte[] file = new byte[8 + json.Length + data.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(file, (ulong)json.Length);
        json.CopyTo(file, 8);
        data.CopyTo(file, 8 + json.Length);
        return file;
    }

    private SafetensorsFile Open(byte[] file)
    {
        File.WriteAllBytes(_folder.File("x.safetensors"), file);
        return SafetensorsFile.Open(_folder.File("x.safetensors"));
    }

    private void Refused(byte[] file, params string[] mentions)
    {
        var e = Assert.Throws<UserErrorException>(() => Open(file));
        Assert.StartsWith(_folder.File("x.safetensors"), e.Message);
        Assert.DoesNotContain('\n', e.Message);
        foreach (string text in mentions) Assert.Contains(text, e.Message);
    }

    [Fact]
    public void ReadsAFileMadeByHand()
    {
        // {"a":{...}} is 58 bytes, unpadded, so that the data is unaligned; values written as their IEEE bit patterns.
        byte[] file = Bytes(
            """{"__metadata__":{"k":"v"},"h":{"dtype":"F16","shape":[3],"data_offsets":[8,14]},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"e":{"dtype":"I64","shape":[0,4],"data_offsets":[14,14]},"s":{"dtype":"F8_E4M3","shape":[],"data_offsets":[14,15]}}""",
            0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x20, 0xc0, 0x00, 0x3c, 0x01, 0x00, 0x00, 0xfc, 0x7f);
        using SafetensorsFile opened = Open(file);
        Assert.Equal("v", opened.Metadata["k"]);
        Assert.Equal(4, opened.Entries.Count);
        SafetensorsEntry a = opened.Entry("a");
        Assert.Equal([1, 2], a.Shape);
        Assert.Equal([1f, -2.5f], opened.Span<float>(a).ToArray());
        float[] halves = new float[3];
        opened.CopyToF32(opened.Entry("h"), halves);
        Assert.Equal([1f, 5.9604644775390625e-8f, float.NegativeInfinity], halves);
        Assert.Equal(0, opened.Entry("e").Count);
        Assert.Equal(1, opened.Entry("s").Count);
        Assert.Equal(SafetensorsDType.F8E4M3, opened.Entry("s").DType);
        Assert.Equal([0x7f], opened.Bytes(opened.Entry("s")).ToArray());
    }

    [Fact]
    public void WritesTheBytesOfTheFormat()
    {
        var writer = new SafetensorsWriter();
        writer.AddF32("b", [2], new float[] { 1, -2 }, SafetensorsDType.BF16);
        writer.AddF32("a", [], new float[] { 0.5f });
        writer.Save(_folder.File("w.safetensors"));
        string header = """{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]}}""";
        header = header.PadRight((header.Length + 7) / 8 * 8);
        Assert.Equal(
            Bytes(header, 0, 0, 0, 0x3f, 0x80, 0x3f, 0x00, 0xc0), File.ReadAllBytes(_folder.File("w.safetensors")));
    }

    [Fact]
    public void RewritesARealAdapterByteForByte()
    {
        string path = SharedData.Require("adapters/trl_kto_gpt2/adapter_model.safetensors");
        using SafetensorsFile file = SafetensorsFile.Open(path);
        var writer = new SafetensorsWriter();
        foreach (SafetensorsEntry entry in file.Entries.Values.Reverse())
            writer.Add(entry.Name, entry.DType, entry.Shape.ToArray(), file.Bytes(entry).ToArray());
        writer.Save(_folder.File("again.safetensors"));
        Assert.Equal(24, file.Entries.Count);
        Assert.True(
            File.ReadAllBytes(path).AsSpan().SequenceEqual(File.ReadAllBytes(_folder.File("again.safetensors"))));
    }

    [Theory]
    [InlineData("", "8 bytes of header length")]
    [InlineData("1234567", "8 bytes of header length")]
    public void RefusesTooShort(string content, string mention) => Refused(Encoding.ASCII.GetBytes(content), mention);

    [Theory]
    [InlineData(ulong.MaxValue, "at most 100000000")]
    [InlineData(1UL << 40, "at most 100000000")]
    [InlineData(100_000_000UL, "truncated")]
    [InlineData(3UL, "truncated")]
    [InlineData(0UL, "JSON object")]
    public void RefusesHeaderLength(ulong length, string mention)
    {
        byte[] file = Bytes("{}");
        BinaryPrimitives.WriteUInt64LittleEndian(file, length);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Refused(file, mention);
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1_000_000, "allocated what the header claims");
    }

    [Theory]
    [InlineData("""{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "'t'", "twice")]
    [InlineData("""{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}""", "'t'", "8 bytes for F32 (1,)")]
    [InlineData("""{"t":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}""", "'t'", "within the 8 bytes")]
    [InlineData("""{"t":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", "'t'", "hole")]
    [InlineData("""{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", "cover", "but cover 4")]
    [InlineData("""{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"u":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", "'u'", "overlap")]
    [InlineData("""{"t":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}""", "'t'", "[8, 4]")]
    [InlineData("""{"t":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", "'t'", "shape must hold whole numbers")]
    [InlineData("""{"t":{"dtype":"F32","shape":[2],"data_offsets":[-8,8]}}""", "'t'", "data_offsets must hold")]
    [InlineData("""{"t":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,8]}}""", "'t'", "9223372036854775807")]
    [InlineData("""{"t":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,8]}}""", "'t'", "must span")]
    [InlineData("""{"t":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}""", "'t'", "whole numbers")]
    [InlineData("""{"t":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}""", "'t'", "whole numbers")]
    [InlineData("""{"t":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}""", "'t'", "'F33'")]
    [InlineData("""{"t":{"shape":[2],"data_offsets":[0,8]}}""", "'t'", "dtype")]
    [InlineData("""{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}}""", "'t'", "at most 2")]
    [InlineData("""{"t":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "'t'", "one dtype")]
    [InlineData("""{"t":[1,2]}""", "'t'", "JSON object")]
    [InlineData("""{"__metadata__":{"a":1},"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "__metadata__", "string")]
    [InlineData("""{"__metadata__":{"a":"1","a":"2"},"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "'a'", "twice")]
    [InlineData("""[1]""", "header", "JSON object")]
    [InlineData("""{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}""", "valid JSON", "")]
    [InlineData("""{"\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "valid JSON", "")]
    [InlineData("""{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} x""", "valid JSON", "")]
    [InlineData("{\"a\\nb\\u2028\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "'a?b?'", "")]
    public void RefusesHostileHeaders(string header, string first, string second) =>
        Refused(Bytes(header, 1, 2, 3, 4, 5, 6, 7, 8), first, second);

    [Fact]
    public void RefusesInvalidUtf8()
    {
        byte[] file = Bytes("""{"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}""");
        file[10] = 0xff;
        Refused(file, "UTF-8");
    }

    [Fact]
    public void MutatedFilesAreReadOrRefusedButNeverCrash()
    {
        byte[] original = Bytes(
            """{"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]}}  """,
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
        var random = new Random(7);
        int refused = 0;
        for (int round = 0; round < 3000; round++)
        {
            byte[] file = original.ToArray();
            for (int edits = random.Next(1, 4); edits > 0; edits--)
            {
                int at = random.Next(file.Length);
                switch (random.Next(4))
                {
                    case 0: file[at] = (byte)random.Next(256); break;
                    case 1: file[at] ^= (byte)(1 << random.Next(8)); break;
                    case 2: file = file[..Math.Max(at, 1)]; break;
                    default: file[at] = (byte)"0123456789{}[]\",:-e\\"[random.Next(20)]; break;
                }
            }
            try
            {
                using SafetensorsFile opened = Open(file);
                foreach (SafetensorsEntry entry in opened.Entries.Values)
                {
                    int sum = 0;
                    foreach (byte b in opened.Bytes(entry)) sum += b;
                    Assert.True(entry.Offset + entry.ByteCount <= file.Length && sum >= 0);
                }
            }
            catch (UserErrorException e)
            {
                refused++;
                Assert.DoesNotContain('\n', e.Message);
            }
        }
        Assert.InRange(refused, 1500, 2999);
    }

    [Fact]
    public void AnEntryOfAnotherFileIsRefused()
    {
        byte[] file = Bytes("""{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}""", 5);
        using SafetensorsFile one = Open(file);
        File.WriteAllBytes(_folder.File("y.safetensors"), file);
        using SafetensorsFile two = SafetensorsFile.Open(_folder.File("y.safetensors"));
        Assert.Throws<ArgumentException>(() => one.Bytes(two.Entry("t")).ToArray());
        Assert.Throws<InvalidOperationException>(() => one.Span<float>(one.Entry("t")).ToArray());
        var e = Assert.Throws<UserErrorException>(() => one.CopyToF32(one.Entry("t"), new float[1]));
        Assert.Contains("'t' must be F32, F16, BF16 or F64, but is U8", e.Message);
    }

    [Fact]
    public void MissingFileAndFolderAreNamed()
    {
        Assert.Contains("does not exist",
            Assert.Throws<UserErrorException>(() => SafetensorsFile.Open(_folder.File("none.safetensors"))).Message);
        Assert.Contains("must be a file",
            Assert.Throws<UserErrorException>(() => SafetensorsFile.Open(_folder.Path)).Message);
    }

    [Fact]
    public void SavingOverAnOpenFileLeavesTheViewsIntact()
    {
        string path = _folder.File("w.safetensors");
        var writer = new SafetensorsWriter();
        writer.AddF32("a", [3], new float[] { 1, 2, 3 });
        writer.Save(path);
        using SafetensorsFile open = SafetensorsFile.Open(path);
        var other = new SafetensorsWriter();
        other.AddF32("a", [3], new float[] { 7, 8, 9 });
        other.Save(path);
        using SafetensorsFile again = SafetensorsFile.Open(path);
        Assert.Equal([1f, 2, 3], open.Span<float>(open.Entry("a")).ToArray());
        Assert.Equal([7f, 8, 9], again.Span<float>(again.Entry("a")).ToArray());
    }

    [Fact]
    public void AWriterThatWritesTheWrongLengthIsRefusedAndTheOldFileKept()
    {
        string path = _folder.Write("w.safetensors", "old");
        var writer = new SafetensorsWriter();
        writer.Add("a", SafetensorsDType.U8, [4], s => s.Write([1, 2, 3]));
        Assert.Throws<InvalidOperationException>(() => writer.Save(path));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void ShardsAndIndexAreWrittenReadAndReplaced()
    {
        var writer = new SafetensorsWriter();
        for (int i = 0; i < 5; i++) writer.AddF32($"t{i}", [4], new float[] { i, i, i, i });
        writer.SaveFolder(_folder.Path, maxShardBytes: 32);
        Assert.Equal(
            ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors",
                "model.safetensors.index.json"],
            Directory.GetFiles(_folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        using (SafetensorsSet set = SafetensorsSet.Open(_folder.Path))
        {
            Assert.Equal(3, set.Files.Count);
            Assert.Equal(5, set.Tensors.Count);
            (SafetensorsFile file, SafetensorsEntry entry) = set.Tensors["t3"];
            Assert.Equal([3f, 3, 3, 3], file.Span<float>(entry).ToArray());
        }
        Assert.Equal(80, SafetensorsIndex.Read(SafetensorsIndex.PathIn(_folder.Path)).TotalSize);

        File.Delete(_folder.File("model-00002-of-00003.safetensors"));
        Assert.Contains("model-00002-of-00003.safetensors",
            Assert.Throws<UserErrorException>(() => SafetensorsSet.Open(_folder.Path)).Message);
        writer.SaveFolder(_folder.Path);
        using SafetensorsSet single = SafetensorsSet.Open(_folder.Path);
        Assert.Single(single.Files);
        Assert.False(File.Exists(SafetensorsIndex.PathIn(_folder.Path)));
    }

    [Theory]
    [InlineData("""{"weight_map":{"a":"../evil.safetensors"}}""", "'weight_map.a'")]
    [InlineData("""{"weight_map":{"a":"sub/evil.safetensors"}}""", "same folder")]
    [InlineData("""{"weight_map":{"a":7}}""", "'weight_map.a' must be a text, but is 7")]
    [InlineData("""{"weight_map":{}}""", "at least one tensor")]
    [InlineData("""{}""", "'weight_map'")]
    [InlineData("""{"weight_map":""", "not valid JSON")]
    public void RefusesBadIndexes(string json, string mention)
    {
        string path = _folder.Write("model.safetensors.index.json", json);
        Assert.Contains(mention, Assert.Throws<UserErrorException>(() => SafetensorsIndex.Read(path)).Message);
    }

    [Fact]
    public void FolderErrorsSayWhatIsThere()
    {
        Assert.Contains("it has neither",
            Assert.Throws<UserErrorException>(() => SafetensorsSet.Open(_folder.Path)).Message);
        _folder.Write("pytorch_model.bin", "");
        Assert.Contains("it has pytorch_model.bin only",
            Assert.Throws<UserErrorException>(() => SafetensorsSet.Open(_folder.Path)).Message);
        Assert.Contains("the folder does not exist",
            Assert.Throws<UserErrorException>(() => SafetensorsSet.Open(_folder.File("no"))).Message);
    }

    [Fact]
    public void ReadsTheRealModelInPlace()
    {
        string path = SharedData.Require("models/TinyStories-656K/model.safetensors");
        using SafetensorsFile file = SafetensorsFile.Open(path);
        SafetensorsEntry head = file.Entry("lm_head.weight");
        Assert.Equal([2048, 128], head.Shape);
        Assert.Equal(656_000, file.Entries.Values.Sum(e => e.Count));
        Assert.Equal(
            MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(path).AsSpan((int)head.Offset, 64)).ToArray(),
            file.Span<float>(head)[..16].ToArray());
    }
}

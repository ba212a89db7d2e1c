using System.Reflection;
using System.Runtime.InteropServices;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Tests;

/// <summary>A kernel's args struct is its .param list byte for byte; nothing else checks that on a GPU.</summary>
public class KernelArgsTests
{
    public static TheoryData<string> Entries =>
        [.. KernelSource.Stems.SelectMany(stem => Parse(stem).Entries.Select(entry => $"{stem}/{entry.Name}"))];

    [Theory]
    [MemberData(nameof(Entries))]
    public void StructMatchesParameters(string name)
    {
        (string stem, string entryName) = (name.Split('/')[0], name.Split('/')[1]);
        PtxEntry entry = Parse(stem).FindEntry(entryName)!;
        KernelLab? lab = KernelLab.All.SingleOrDefault(candidate => candidate.Entry == entryName);
        Assert.True(lab is not null, $"{name} has no lab: no args struct is known for it");
        Assert.Equal(stem, lab.Stem);

        FieldInfo[] fields = lab.Args.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic);
        Assert.Equal(
            entry.Parameters.Select(parameter => parameter.Name.ToUpperInvariant()),
            fields.Select(field => FieldName(field).ToUpperInvariant()));
        foreach ((PtxParameter parameter, FieldInfo field) in entry.Parameters.Zip(fields))
        {
            int offset = Offset(lab.Args, field);
            Assert.True(offset == parameter.Offset, $"{name}: {parameter.Name} at {parameter.Offset}, not {offset}");
            int size = SizeOf(field.FieldType);
            Assert.True(size == parameter.Size, $"{name}: {parameter.Name} has {parameter.Size} bytes, not {size}");
            Assert.Equal(0, offset % parameter.Alignment);
        }
        PtxParameter last = entry.Parameters[^1];
        Assert.Equal(last.Offset + last.Size, SizeOf(lab.Args));
        Assert.Equal(entry.ParameterBytes, SizeOf(lab.Args));
    }

    private static PtxModule Parse(string stem) => PtxModule.Parse(KernelSource.Read(stem), stem + ".ptx");

    // Auto-properties of a record: <Name>k__BackingField.
    private static string FieldName(FieldInfo field) =>
        field.Name.StartsWith('<') ? field.Name[1..field.Name.IndexOf('>', StringComparison.Ordinal)] : field.Name;

    private static int SizeOf(Type type) => (int)typeof(KernelArgsTests)
        .GetMethod(nameof(Size), BindingFlags.Static | BindingFlags.NonPublic)!.MakeGenericMethod(type)
        .Invoke(null, null)!;

    private static int Size<T>() => System.Runtime.CompilerServices.Unsafe.SizeOf<T>();

    // Byte offset of a field: fill the struct with its own byte numbers and see where the field's first byte comes
    // from.
    private static int Offset(Type type, FieldInfo field)
    {
        int size = SizeOf(type);
        object boxed = NumberedBytes(type, size);
        object value = field.GetValue(boxed)!;
        var bytes = new byte[SizeOf(field.FieldType)];
        CopyOut(value, bytes);
        return bytes[0] | bytes[1] << 8;
    }

    // Every 16-bit word of the struct holds its own offset.
    private static object NumberedBytes(Type type, int size)
    {
        var words = new byte[size];
        for (int i = 0; i + 1 < size; i += 2) (words[i], words[i + 1]) = ((byte)i, (byte)(i >> 8));
        return typeof(KernelArgsTests).GetMethod(nameof(FromBytes), BindingFlags.Static | BindingFlags.NonPublic)!
            .MakeGenericMethod(type).Invoke(null, [words])!;
    }

    private static object FromBytes<T>(byte[] bytes) where T : unmanaged => MemoryMarshal.Read<T>(bytes);

    private static void CopyOut(object value, byte[] bytes) =>
        typeof(KernelArgsTests).GetMethod(nameof(ToBytes), BindingFlags.Static | BindingFlags.NonPublic)!
            .MakeGenericMethod(value.GetType()).Invoke(null, [value, bytes]);

    private static void ToBytes<T>(T value, byte[] bytes) where T : unmanaged => MemoryMarshal.Write(bytes, value);
}
